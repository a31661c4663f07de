"""Whose address a request has, behind proxies that are known and only those. Pure."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network


def read_networks(words: Sequence[str]) -> list[Network]:
    """Raises `ValueError` naming the word that is no address or network."""
    return [ip_network(word, strict=False) for word in words]


def client_address(peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """The nearest address that is not a trusted proxy's.

    `forwarded_for` is the X-Forwarded-For header; it is read from its end, where the
    nearest proxy wrote, and only as long as the one that wrote it is trusted.
    """
    address = peer
    for hop in reversed([word.strip() for word in forwarded_for.split(",") if word.strip()]):
        if not is_in(address, trusted):
            break
        address = hop
    return address


def is_in(address: str, networks: Sequence[Network]) -> bool:
    """False for what is no address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)
