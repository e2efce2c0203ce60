"""The key under which a client is counted for fairness and limits."""

from __future__ import annotations

import ipaddress


def client_key(address: str | None) -> str:
    """One key for all addresses of a client: an IPv4 address, or an IPv6 /64 network, which is one household or host.

    Behind a proxy, `address` is what uvicorn takes from X-Forwarded-For, which it trusts from proxies on this machine
    and those in FORWARDED_ALLOW_IPS.
    """
    if address is None:
        return ""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
