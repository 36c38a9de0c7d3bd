"""Addresses that a name chosen by somebody else must not lead to."""

from __future__ import annotations

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Where clouds answer with credentials, beside the link-local 169.254.169.254.
_METADATA = frozenset({"fd00:ec2::254", "100.100.100.200", "192.0.0.192"})


def address_of(text: str) -> Address | None:
    """The address that a text is, an IPv4 one mapped into IPv6 as itself; None for a name."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def inside(text: str) -> bool:
    """The machine's own, or its neighbours': loopback, link-local (cloud metadata), multicast,
    unspecified; and what is no address at all."""
    address = address_of(text)
    return address is None or (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or str(address) in _METADATA
    )
