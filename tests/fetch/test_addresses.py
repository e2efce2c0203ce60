import random
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest

from showtell.fetch import addresses
from showtell.fetch.addresses import is_public

REFUSED = {
    "unspecified": ["0.0.0.0", "::"],
    "this network": ["0.0.0.1", "0.255.255.255"],
    "loopback": ["127.0.0.1", "127.255.255.255", "127.0.1.1", "::1"],
    "private": ["10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.0", "192.168.255.255"],
    "of a carrier": ["100.64.0.0", "100.127.255.255"],
    "link-local": ["169.254.0.0", "169.254.255.255", "fe80::", "fe80::1", "febf:ffff::1"],
    "metadata": ["169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16"],
    "metadata of IPv6": ["fd00:ec2::254", "fd20:ce::254", "fe80::a9fe:a9fe"],
    "documentation": ["192.0.2.0", "198.51.100.7", "203.0.113.255", "2001:db8::1", "3fff::1", "3fff:fff:ffff::1"],
    "benchmarks": ["198.18.0.0", "198.19.255.255", "2001:2::1"],
    "protocols": ["192.0.0.0", "192.0.0.170", "192.0.0.255", "192.88.99.1", "2001::", "2001:1ff:ffff::1"],
    "run by anybody": ["192.31.196.1", "192.52.193.255", "192.175.48.42", "2620:4f:8000::42"],
    "given back": ["3ffe::1", "3ffe:ffff::1"],
    "multicast": ["224.0.0.0", "224.0.0.251", "239.255.255.255", "ff00::", "ff02::1", "ff0e::1", "ffff::1"],
    "reserved": ["240.0.0.0", "255.255.255.254", "255.255.255.255", "4000::1", "5f00::1", "e000::1", "1fff::1"],
    "mapped": ["::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:93.184.216.34", "0:0:0:0:0:FFFF:0a00:0001"],
    "compatible": ["::127.0.0.1", "::7f00:1", "::93.184.216.34"],
    "translated": ["::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::5db8:d822", "64:ff9b:1::a00:1"],
    "6to4": ["2002::", "2002:7f00:1::1", "2002:5db8:d822::1"],
    "Teredo": ["2001::1", "2001:0:5db8:d822::80ff:fffe"],
    "ISATAP": ["2606:2800:220:1:0:5efe:10.0.0.1", "2606:2800:220:1:200:5efe:7f00:1"],
    "unique local": ["fc00::", "fc00::1", "fdff:ffff::1"],
    "site-local": ["fec0::", "feff::1"],
    "discarded": ["100::", "100::1"],
    "scoped": ["fe80::1%eth0", "2606:2800:220:1::1%1"],
    "no address": [
        "",
        "localhost",
        "127.1",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "2130706433",
        " 93.184.216.34",
        "[::1]",
        "1.2.3.4/8",
    ],
}
PUBLIC = [
    *["1.1.1.1", "8.8.8.8", "93.184.216.34", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0"],
    *["126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0"],
    *["192.0.1.0", "192.0.3.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255"],
    *["168.63.129.15", "168.63.129.17", "2000::", "2001:200::1", "2001:4860:4860::8888", "2606:2800:220:1::1"],
    *["2003::1", "2a00:1450:4001::1", "3fff:1000::1", "2606:2800:220:1::5eff:a00:1"],
]

# Where Python's own tables, of one version or another, say "global", and why we do not.
STRICTER = [
    ip_network(network)
    for network in (
        *("224.0.0.0/4", "ff00::/8"),  # multicast: global to Python
        *("192.88.99.0/24", "2002::/16", "64:ff9b::/96", "64:ff9b:1::/48"),  # lead to another address inside
        *("192.31.196.0/24", "192.52.193.0/24", "192.175.48.0/24", "2620:4f:8000::/48"),  # anybody may run these
        *("192.0.0.0/24", "2001::/23"),  # protocols: some global to IANA, more to Python 3.11, no web server's
        "168.63.129.16/32",  # Azure's own
        *("3fff::/20", "5f00::/16"),  # given out in 2024
        "3ffe::/16",  # given back
        *("::/3", "4000::/2", "8000::/1"),  # not given out; Python takes what has no entry for global
    )
]


@pytest.mark.parametrize("address", [address for group in REFUSED.values() for address in group])
def test_refused(address: str) -> None:
    assert not is_public(address)


def test_refused_without_python_s_tables_and_by_them_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two nets: ours holds whatever Python says, Python's holds what it knows and we forgot."""
    with monkeypatch.context() as patched:
        for kind in (IPv4Address, IPv6Address):
            patched.setattr(kind, "is_global", True)
            patched.setattr(kind, "is_multicast", False)
        assert [address for group in REFUSED.values() for address in group if is_public(address)] == []
        assert all(map(is_public, PUBLIC))
    monkeypatch.setattr(addresses, "_BLOCKED_V4", ())
    for group in ("loopback", "private", "of a carrier", "link-local", "multicast"):
        assert [address for address in REFUSED[group] if is_public(address)] == []


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address: str) -> None:
    assert is_public(address)


def test_never_more_than_python_calls_global_and_less_only_where_that_is_meant() -> None:
    """Random addresses: anywhere, and near every block's first and last."""
    rng = random.Random(0)
    anywhere: list[IPv4Address | IPv6Address] = [IPv4Address(rng.getrandbits(32)) for _ in range(20_000)]
    anywhere += [IPv6Address(rng.getrandbits(128)) for _ in range(10_000)]
    anywhere += [IPv6Address((1 << 125) | rng.getrandbits(125)) for _ in range(20_000)]  # 2000::/3
    for network in (*STRICTER, *map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"))):
        first, last = int(network[0]), int(network[-1])
        kind, top = type(network[0]), 2**network.max_prefixlen - 1
        near = [
            *range(first - 3, first + 3),
            *range(last - 2, last + 4),
            *(rng.randint(first, last) for _ in range(100)),
        ]
        anywhere += [kind(min(max(n, 0), top)) for n in near]
    public = 0
    for address in anywhere:
        ours, theirs = is_public(str(address)), address.is_global
        public += ours
        if ours:
            assert theirs, address
        elif theirs:
            assert any(address in network for network in STRICTER), address
    assert public > 0.6 * 40_000, "most of what was drawn is public: all but what is refused"


def test_the_same_address_in_another_spelling_is_the_same() -> None:
    for address in ("::ffff:127.0.0.1", "fd00:ec2::254", "2606:2800:220:1::1"):
        spellings = {address, address.upper(), ip_address(address).exploded, str(ip_address(address))}
        assert len({is_public(each) for each in spellings}) == 1
