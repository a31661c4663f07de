"""Visits of a site's own people. Pure."""

from functools import lru_cache

from ingest.client_address import Network, is_in, read_networks

_MAX_NETWORKS = 1_000


def is_internal(address: str, networks: str, header: str) -> bool:
    """`networks`: the site's addresses and networks, one a line; `header`: X-Tracker-Internal."""
    return bool(header) or (bool(networks) and remembered(address, networks))


@lru_cache(maxsize=65_536)
def remembered(address: str, networks: str) -> bool:
    return is_in(address, read_internal(networks))


@lru_cache(maxsize=1_024)
def read_internal(networks: str) -> list[Network]:
    """Raises `ValueError` naming the word that is no address or network."""
    words = networks.split()
    if len(words) > _MAX_NETWORKS:
        raise ValueError(f"{len(words)} networks are too many; the most is {_MAX_NETWORKS}.")
    return read_networks(words)
