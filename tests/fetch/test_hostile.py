"""URLs, DNS answers and redirects that must be refused before anything is connected to."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from tests.fetch.fake_web import OTHER, PUBLIC, PUBLIC_V6, SERVER, FakeWeb, answer, fake_web, redirect

from showtell.errors import BadImage
from showtell.fetch import fetch as fetching
from showtell.fetch import url as urls
from showtell.fetch.fetch import MAX_ADDRESSES_TRIED, Fetcher

URLS = {
    # Schemes
    "file": "file:///etc/passwd",
    "file with a host": "file://images.example.org/etc/passwd",
    "ftp": "ftp://images.example.org/a.jpg",
    "gopher": "gopher://images.example.org:80/_GET",
    "data": "data:image/png;base64,AAAA",
    "jar": "jar:http://images.example.org!/a",
    "ws": "ws://images.example.org/",
    "no scheme": "images.example.org/a.jpg",
    "scheme of the page": "//images.example.org/a.jpg",
    "one slash": "http:/images.example.org/a.jpg",
    "no slash": "http:images.example.org",
    "scheme in wide letters": "ｈttp://images.example.org/",
    "nothing": "",
    # Ports
    "ssh": "http://images.example.org:22/",
    "redis": "http://images.example.org:6379/",
    "8080": "http://images.example.org:8080/",
    "443 without tls": "http://images.example.org:443/",
    "80 with tls": "https://images.example.org:80/",
    "port beyond": "http://images.example.org:65616/",  # 80 in 16 bits
    "port of nothing": "http://images.example.org:/",
    "port with a plus": "http://images.example.org:+80/",
    "port with a zero": "http://images.example.org:080/",
    "port in wide digits": "http://images.example.org:８０/",
    "two ports": "http://images.example.org:80:80/",
    # Users
    "user": "http://user@images.example.org/",
    "user and password": "http://user:password@images.example.org/",
    "empty user": "http://@images.example.org/",
    "a host as the user": "http://images.example.org@127.0.0.1/",
    "a host and port as the user": "http://images.example.org:80@127.0.0.1/",
    "two users": "http://a@b@images.example.org/",
    "wide at": "http://images.example.org＠127.0.0.1/",
    # Characters
    "line end": "http://images.example.org/\r\nHost: localhost",
    "line end in the host": "http://images.example.org\r\n/",
    "line feed in the path": "http://images.example.org/a\nb",
    "delete": "http://images.example.org/\x7f",
    "next line of latin 1": "http://images.example.org/\x85",
    "line feed before": "\nhttp://images.example.org/",
    "tab inside": "http://127.0\t.0.1/",
    "space before": " http://images.example.org/",
    "space in the path": "http://images.example.org/a b",
    "space in the host": "http://127.0.0.1 .example.org/",
    "nul": "http://images.example.org\0.evil.example.org/",
    "wide space": "http://images.example.org/a\u3000b",
    "line separator": "http://images.example.org/\u2028",
    "lone surrogate": "http://images.example.org/\udcff",
    "backslashes": "http:\\\\images.example.org\\",
    "backslash before at": "http://127.0.0.1\\@images.example.org/",
    "percent in the host": "http://%31%32%37.0.0.1/",
    "percent at in the host": "http://images.example.org%40127.0.0.1/",
    "percent line end in the host": "http://images.example.org%0d%0a/",
    # Names
    "localhost": "http://localhost/",
    "LOCALHOST with a dot": "http://LOCALHOST./",
    "below localhost": "http://images.localhost/",
    "one word": "http://intranet/",
    "cloud's name": "http://metadata.google.internal/computeMetadata/v1/",
    "mdns": "http://printer.local/",
    "home": "http://router.home.arpa/",
    "onion": "http://images.onion/",
    "no host": "http:///a.jpg",
    "no host but a query": "http://?images.example.org",
    "dot at the end": "http://images.example.org./",
    "only dots": "http://.../",
    "empty label": "http://images..example.org/",
    "dot at the beginning": "http://.example.org/",
    "wide slash": "http://127.0.0.1／.example.org/",
    "hyphen first": "http://-images.example.org/",
    "label too long": f"http://{'a' * 64}.example.org/",
    "name too long": f"http://{'a.' * 127}org/",
    "wide name too long": f"http://{'ü' * 5000}.org/",
    "url too long": f"http://images.example.org/{'a' * 8192}",
    "a star": "http://*.example.org/",
    # Numbers
    "hexadecimal": "http://0x7f000001/",
    "hexadecimal in parts": "http://0x7f.0.0.1/",
    "hexadecimal at the end": "http://127.0.0.0x1/",
    "bare 0x": "http://127.0.0.0x/",
    "decimal": "http://2130706433/",
    "octal": "http://017700000001/",
    "octal in parts": "http://0177.0.0.1/",
    "octal of a public one": "http://0135.184.216.34/",
    "two parts": "http://127.1/",
    "three parts": "http://127.0.1/",
    "five parts": "http://1.127.0.0.1/",
    "part beyond": "http://127.0.0.257/",
    "name that ends in a number": "http://images.example.1/",
    "zero": "http://0/",
    "dot at the end of an address": "http://127.0.0.1./",
    # Addresses
    "loopback": "http://127.0.0.1/",
    "loopback elsewhere": "https://127.255.0.9/",
    "unspecified": "http://0.0.0.0/",
    "private": "http://10.0.0.1/",
    "private of a home": "http://192.168.1.1/",
    "metadata": "http://169.254.169.254/latest/meta-data/",
    "alibaba": "http://100.100.100.200/",
    "azure": "http://168.63.129.16/machine",
    "multicast": "http://224.0.0.1/",
    "broadcast": "http://255.255.255.255/",
    "circled digits": "http://①②⑦.⓪.⓪.①/",
    "wide digits": "http://１２７．０．０．１/",
    "ideographic dots": "http://127。0。0。1/",
    "dots within a letter": "http://⒑⒈⒈1/",
    "zero width": "http://127\u200b.0.0.1/",
    "soft hyphen": "http://local\u00adhost/",
    "loopback of 6": "http://[::1]/",
    "loopback of 6 in full": "http://[0000:0000:0000:0000:0000:0000:0000:0001]/",
    "unspecified of 6": "http://[::]/",
    "mapped": "http://[::ffff:127.0.0.1]/",
    "mapped in hexadecimal": "http://[::ffff:7f00:1]/",
    "mapped in full": "http://[0:0:0:0:0:FFFF:7F00:0001]/",
    "mapped of a public one": f"http://[::ffff:{PUBLIC}]/",
    "compatible": "http://[::127.0.0.1]/",
    "nat64": "http://[64:ff9b::7f00:1]/",
    "nat64 of one network": "http://[64:ff9b:1::a00:1]/",
    "6to4": "http://[2002:7f00:1::]/",
    "teredo": "http://[2001:0:4136:e378:8000:63bf:80ff:fffe]/",
    "metadata of 6": "http://[fd00:ec2::254]/",
    "link-local of 6": "http://[fe80::1]/",
    "scope": "http://[fe80::1%eth0]/",
    "scope, escaped": "http://[fe80::1%25eth0]/",
    "scope of a public one": f"http://[{PUBLIC_V6}%1]/",
    "multicast of 6": "http://[ff02::1]/",
    "address of the future": "http://[v1.127.0.0.1]/",
    "name in brackets": "http://[images.example.org]/",
    "address of 4 in brackets": f"http://[{PUBLIC}]/",
    "bracket left open": "http://[::1/",
    "letters after the bracket": f"http://[{PUBLIC_V6}].example.org/",
    "no brackets": "http://::1/",
}

ANSWERS: dict[str, list[str]] = {
    "loopback": ["127.0.0.1"],
    "loopback of 6": ["::1"],
    "private": ["10.1.2.3"],
    "metadata": ["169.254.169.254"],
    "carrier": ["100.64.0.1"],
    "unspecified": ["0.0.0.0"],
    "unique local": ["fd12:3456::1"],
    "link-local with its scope": ["fe80::1%eth0"],
    "mapped": ["::ffff:10.0.0.1"],
    "nat64": ["64:ff9b::a00:1"],
    "6to4": ["2002:a00:1::1"],
    "public, then private": [PUBLIC, "10.0.0.1"],
    "private, then public": ["10.0.0.1", PUBLIC],
    "public of 6, then loopback": [PUBLIC_V6, "127.0.0.1"],
    "private behind all that are connected": [PUBLIC] * MAX_ADDRESSES_TRIED + ["192.168.0.1"],
    "no address": ["localhost"],
    "a short address": ["127.1"],
    "empty text": [""],
}

LOCATIONS = {
    "loopback": "http://127.0.0.1/",
    "metadata": "http://169.254.169.254/latest/meta-data/iam/",
    "mapped": "https://[::ffff:169.254.169.254]/",
    "decimal": "http://2130706433/",
    "name that is private": "http://private.example.org/",
    "scheme of the page to a private one": "//private.example.org/",
    "scheme of the page to loopback": "//127.0.0.1/",
    "file": "file:///etc/passwd",
    "gopher": "gopher://127.0.0.1:6379/_FLUSHALL",
    "javascript": "javascript:alert(1)",
    "data": "data:image/png;base64,AAAA",
    "port": "http://images.example.org:8080/",
    "port of the page's host": "//images.example.org:22/",
    "user": "http://user:password@images.example.org/",
    "relative, with a host as the user": "//images.example.org@127.0.0.1/",
    "backslashes": "\\\\127.0.0.1\\",
    "slash and backslash": "/\\127.0.0.1/",
    "tab": "ht\ttp://127.0.0.1/",
    "tab in a path that is good without": "/a\tb",
    "tab in slashes": "/\t/127.0.0.1/",
    "space": "http://images.example.org/ b",
    "brackets": "http://[::1/",
    "wide letters": "http://①②⑦.⓪.⓪.①/",
    "localhost": "http://localhost/",
    "two locations": "http://images.example.org/, http://127.0.0.1/",
}


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeWeb]:
    def no_lookup(*_: object, **__: object) -> None:
        raise AssertionError("the system was asked for a name")

    monkeypatch.setattr(socket, "getaddrinfo", no_lookup)
    with fake_web() as web:
        web.serve("images.example.org", answer())
        web.names["private.example.org"] = [["10.0.0.1"]]
        yield web


def refusal(web: FakeWeb, url: str, **changes: object) -> str:
    with pytest.raises(BadImage) as caught:
        web.fetcher(**changes).fetch(url)
    assert caught.value.code == "url_refused"
    assert web.canary.visits == 0
    return caught.value.detail


@pytest.mark.parametrize("url", URLS.values(), ids=URLS)
def test_url(url: str, web: FakeWeb) -> None:
    """Refused before any name server hears of it."""
    refusal(web, url)
    assert (web.lookups, web.connected) == ([], [])


@pytest.mark.parametrize("addresses", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_name(scheme: str, addresses: list[str], web: FakeWeb) -> None:
    web.names["images.example.org"] = [addresses]
    assert refusal(web, f"{scheme}://images.example.org/") == "found a host whose address is not public"
    assert (web.lookups, web.connected) == (["images.example.org"], [])


@pytest.mark.parametrize("location", LOCATIONS.values(), ids=LOCATIONS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect(location: str, status: int, web: FakeWeb) -> None:
    host = web.serve("images.example.org", redirect(location, status))
    assert refusal(web, "http://images.example.org/a").startswith("after a redirect: ")
    assert len(host.requests) == 1 and web.connected == [PUBLIC]


def test_redirect_from_https_to_http(web: FakeWeb) -> None:
    host = web.serve("images.example.org", redirect("http://images.example.org/"), tls=SERVER)
    assert "from https to http" in refusal(web, "https://images.example.org/")
    assert len(host.requests) == 1 and web.connected == [PUBLIC]


def test_redirect_behind_good_ones(web: FakeWeb) -> None:
    web.serve("images.example.org", redirect("//other.example.net/"))
    web.serve("other.example.net", lambda request: [redirect("http://[::1]/" if "GET /b" in request else "/b")], OTHER)
    refusal(web, "http://images.example.org/")
    assert web.connected == [PUBLIC, OTHER, OTHER]


def test_a_name_that_changes_its_mind_between_check_and_use(web: FakeWeb) -> None:
    """Looked up once: what is connected is what was checked, whatever the name server would say next."""
    web.names["images.example.org"] = [[PUBLIC], ["127.0.0.1"]]
    assert web.fetcher().fetch("http://images.example.org/")
    assert (web.lookups, web.connected) == (["images.example.org"], [PUBLIC])


def test_a_name_that_changes_its_mind_between_redirects(web: FakeWeb) -> None:
    web.serve("images.example.org", redirect("/again"))
    web.names["images.example.org"] = [[PUBLIC], ["127.0.0.1"]]
    refusal(web, "http://images.example.org/")
    assert web.connected == [PUBLIC]


@pytest.mark.parametrize("url", ["http://evil.org/", "http://images.example.org.evil.org/", f"http://{PUBLIC}/"])
def test_host_that_is_not_listed(url: str, web: FakeWeb) -> None:
    assert "list" in refusal(web, url, allowed_hosts=["images.example.org"])
    assert web.lookups == []


def test_redirect_to_a_host_that_is_not_listed(web: FakeWeb) -> None:
    web.serve("images.example.org", redirect("http://other.example.net/"))
    web.serve("other.example.net", answer(), OTHER)
    assert "list" in refusal(web, "http://images.example.org/", allowed_hosts=["images.example.org"])
    assert web.connected == [PUBLIC]


def test_a_listed_host_must_be_public_all_the_same(web: FakeWeb) -> None:
    for host in ("private.example.org", "127.0.0.1"):
        assert "not public" in refusal(web, f"http://{host}/", allowed_hosts=[host])


@pytest.mark.parametrize("url", ["http://127.0.0.1", "http://[::ffff:127.0.0.1]", "http://[::1]", "http://0.0.0.0"])
def test_with_real_sockets_and_an_open_port(url: str, web: FakeWeb, monkeypatch: pytest.MonkeyPatch) -> None:
    """The canary's port passes for a standard one here, and the fetcher dials by itself."""
    monkeypatch.setitem(urls.DEFAULT_PORTS, "http", web.canary.port)
    with pytest.raises(BadImage, match="not public"):
        Fetcher().fetch(f"{url}:{web.canary.port}/")
    assert web.canary.visits == 0
    with socket.socket() as client:
        client.connect(("127.0.0.1", web.canary.port))
        assert web.canary.visits == 1, "the canary does hear who comes"


def test_a_public_address_of_this_machine(web: FakeWeb) -> None:
    """Whatever the address, who dials it from itself is at home; here the only one to be had is loopback's."""
    with pytest.raises(BadImage, match="url_refused: found a host that is this machine"):
        fetching.connect("127.0.0.1", web.canary.port, 20)


@pytest.mark.parametrize("case", ["url", "name", "redirect"])
def test_the_canary_hears_who_is_not_checked(case: str, web: FakeWeb, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the check of addresses these cases do reach it: that the others do not, says something."""
    monkeypatch.setattr(fetching, "is_public", lambda _: True)
    web.serve("images.example.org", redirect("http://127.0.0.1/"))
    url = {"url": "http://127.0.0.1/", "name": "http://private.example.org/", "redirect": "http://images.example.org/"}
    with pytest.raises(BadImage, match="url_failed"):
        web.fetcher().fetch(url[case])
    assert web.canary.visits == 1
