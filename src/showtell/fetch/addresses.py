"""Which IP addresses may be connected to: public unicast addresses only.

Rejected: `ipaddress.is_global` alone. Its tables differ between Python 3.10 and 3.13, it calls multicast global, and it
knows neither 6to4 nor the public-looking metadata addresses of clouds. It is required as well, since a newer Python may
know of a newer reservation.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

_BLOCKED_V4: Final = tuple(
    IPv4Network(network)
    for network in (
        # IANA IPv4 Special-Purpose Address Registry (RFC 6890)
        "0.0.0.0/8",  # this network: RFC 791; Linux takes 0.0.0.0 for itself
        "10.0.0.0/8",  # private: RFC 1918
        "100.64.0.0/10",  # shared by a carrier's customers: RFC 6598; Alibaba's metadata is 100.100.100.200
        "127.0.0.0/8",  # loopback: RFC 1122
        "169.254.0.0/16",  # link-local: RFC 3927; the metadata of most clouds is 169.254.169.254
        "172.16.0.0/12",  # private: RFC 1918
        "192.0.0.0/24",  # protocol assignments: RFC 6890; Oracle's metadata is 192.0.0.192
        "192.0.2.0/24",  # documentation: RFC 5737
        "192.31.196.0/24",  # AS112, whose nodes anybody may run: RFC 7535
        "192.52.193.0/24",  # relays of multicast: RFC 7450
        "192.88.99.0/24",  # relays of 6to4: RFC 7526
        "192.168.0.0/16",  # private: RFC 1918
        "192.175.48.0/24",  # AS112: RFC 7534
        "198.18.0.0/15",  # benchmarking: RFC 2544
        "198.51.100.0/24",  # documentation: RFC 5737
        "203.0.113.0/24",  # documentation: RFC 5737
        # IANA IPv4 Address Space Registry
        "224.0.0.0/4",  # multicast: RFC 5771
        "240.0.0.0/4",  # reserved: RFC 1112; with broadcast, RFC 919
        # In no registry
        "168.63.129.16/32",  # Azure's host service for its virtual machines
    )
)

# IANA IPv6 Address Space Registry: allocated global unicast. Outside are loopback and unspecified (RFC 4291), IPv4
# compatible (::/96) and mapped (::ffff:0:0/96), NAT64 (64:ff9b::/96, RFC 6052, and 64:ff9b:1::/48, RFC 8215), discard
# (100::/64), segment routing (5f00::/16), unique local (fc00::/7, with the metadata of AWS, fd00:ec2::254), link-local
# (fe80::/10), site-local (fec0::/10) and multicast (ff00::/8).
_GLOBAL_UNICAST_V6: Final = IPv6Network("2000::/3")
_BLOCKED_V6: Final = tuple(
    IPv6Network(network)
    for network in (
        # IANA IPv6 Special-Purpose Address Registry (RFC 6890)
        "2001::/23",  # protocol assignments: RFC 2928; with Teredo, RFC 4380, which has an IPv4 address inside
        "2001:db8::/32",  # documentation: RFC 3849
        "2002::/16",  # 6to4, which has an IPv4 address inside: RFC 3056
        "2620:4f:8000::/48",  # AS112: RFC 7534
        "3fff::/20",  # documentation: RFC 9637
        # IANA IPv6 Global Unicast Address Assignments
        "3ffe::/16",  # 6bone, returned: RFC 3701
    )
)


def is_public(address: str) -> bool:
    """Whether this is an IPv4 or IPv6 address, in standard notation, of one host on the public internet."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    is_unblocked = _is_public_v4(parsed) if isinstance(parsed, IPv4Address) else _is_public_v6(parsed)
    return is_unblocked and parsed.is_global and not parsed.is_multicast


def _is_public_v4(address: IPv4Address) -> bool:
    return not any(address in network for network in _BLOCKED_V4)


def _is_public_v6(address: IPv6Address) -> bool:
    # A scope id (fe80::1%eth0) selects a network interface of this machine.
    if address.scope_id is not None or address not in _GLOBAL_UNICAST_V6:
        return False
    # ISATAP (RFC 5214): an interface identifier of 5efe and the IPv4 address to tunnel to.
    is_isatap = (int(address) >> 32) & 0xFDFF_FFFF == 0x5EFE
    return not is_isatap and not any(address in network for network in _BLOCKED_V6)
