import dataclasses

import pytest

from showtell.errors import BadConfig, BadImage
from showtell.fetch.url import ParsedUrl, is_allowed_host, parse_allowed_hosts, parse_url


@pytest.mark.parametrize(
    ("url", "scheme", "host", "target"),
    [
        ("http://images.example.org", "http", "images.example.org", "/"),
        ("https://images.example.org/a/b.jpg?size=9&x=%20#top", "https", "images.example.org", "/a/b.jpg?size=9&x=%20"),
        ("HTTPS://Images.EXAMPLE.org:443?q", "https", "images.example.org", "/?q"),
        ("http://images.example.org:80/", "http", "images.example.org", "/"),
        ("http://images.example.org/a:b@c//d/../e", "http", "images.example.org", "/a:b@c//d/../e"),
        ("http://93.184.216.34/", "http", "93.184.216.34", "/"),
        ("http://[2606:2800:0220:1::0001]:80/", "http", "2606:2800:220:1::1", "/"),
        ("http://صور.example.org/قط.jpg", "http", "xn--wgbh1d.example.org", "/%D9%82%D8%B7.jpg"),
        ("http://BÜCHER.example.org/", "http", "xn--bcher-kva.example.org", "/"),
        ('http://images.example.org/a|b"c', "http", "images.example.org", "/a%7Cb%22c"),
        ("http://a_b.c--d.example.org/", "http", "a_b.c--d.example.org", "/"),
        ("http://1.example.0rg/", "http", "1.example.0rg", "/"),
    ],
)
def test_parts(url: str, scheme: str, host: str, target: str) -> None:
    parsed = parse_url(url)
    assert (parsed.scheme, parsed.host, parsed.target) == (scheme, host, target)
    assert parsed.is_ip_address == (host in ("93.184.216.34", "2606:2800:220:1::1"))
    assert parsed.port == {"http": 80, "https": 443}[scheme]


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("b.jpg", "https://images.example.org/a/b.jpg"),
        ("/b.jpg?x", "https://images.example.org/b.jpg?x"),
        ("?x#y", "https://images.example.org/a/?x"),
        ("//other.example.net/b", "https://other.example.net/b"),
        ("https://[2606:2800:220:1::1]/b", "https://[2606:2800:220:1::1]/b"),
        ("../../../b", "https://images.example.org/b"),
    ],
)
def test_redirects(location: str, url: str) -> None:
    parsed = parse_url("https://images.example.org/a/?old").join(location)
    assert parsed == parse_url(url)
    assert parsed.join("/x") == dataclasses.replace(parsed, target="/x")


def test_http_may_lead_to_https_but_not_back() -> None:
    parsed = parse_url("http://images.example.org/").join("https://images.example.org/")
    with pytest.raises(BadImage, match=r"url_refused: .* from https to http"):
        parsed.join("http://images.example.org/")


def test_a_name_whose_idna_has_changed_is_refused_and_its_new_form_taken() -> None:
    """Python's IDNA makes fass.example of faß.example, which is somebody else."""
    with pytest.raises(BadImage, match="xn-- form"):
        parse_url("http://faß.example.org/")
    assert parse_url("http://xn--fa-hia.example.org/").host == "xn--fa-hia.example.org"


def test_listed_hosts() -> None:
    hosts = parse_allowed_hosts(["Images.example.org", "*.example.net", "*.صور.org", "93.184.216.34"])
    for host in ("images.example.org", "a.example.net", "a.b.example.net", "a.xn--wgbh1d.org", "93.184.216.34"):
        assert is_allowed_host(host, hosts), host
    for host in ("example.org", "a.images.example.org", "example.net", "evilexample.net", "93.184.216.35"):
        assert not is_allowed_host(host, hosts), host
    assert not is_allowed_host("images.example.org", parse_allowed_hosts([]))


@pytest.mark.parametrize(
    "host",
    ["", "*", "*.", "*.org", "*example.org", "a.*.org", "http://a.org", "a.org:80", "a.org/", "localhost", "*.1.1.1.1"],
)
def test_a_list_of_hosts_that_makes_no_sense(host: str) -> None:
    with pytest.raises(BadConfig, match="allowed host"):
        parse_allowed_hosts(["images.example.org", host])


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("ftp://images.example.org/", "another scheme"),
        ("http://user:pw@images.example.org/", "a user name or a password in the URL"),
        ("http://images.example.org:8080/", "another port; expected 80"),
        ("http://[2606:2800:220:1::1%1]/", "brackets without an IPv6 address; expected one without a scope"),
        ("http://127.1/", "a host that ends in a number"),
        ("http://intranet/", "no proper host name"),
        ("http://printer.local/", "a name of a private network"),
        (f"http://{'ü' * 254}.org/", "a host name that is too long"),
        ("http://images.example.org/a b", "a space, a control character or a backslash"),
    ],
)
def test_what_a_refusal_says(url: str, found: str) -> None:
    with pytest.raises(BadImage, match=f"^url_refused: found {found}"):
        parse_url(url)


def test_a_refusal_repeats_nothing_of_the_url() -> None:
    for url in ("http://secret:secret@images.example.org/", "secret://x", "http://secret/", "http://secret.org:99/"):
        with pytest.raises(BadImage) as caught:
            parse_url(url)
        assert caught.value.code == "url_refused"
        assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_url_is_only_made_of_allowed_parts() -> None:
    assert parse_url("http://images.example.org") == ParsedUrl("http", "images.example.org", False, "/")
