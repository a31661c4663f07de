"""The visitor's time zone. Pure."""

import zoneinfo
from functools import cache


def read_time_zone(name: str) -> str | None:
    """An IANA name, such as Europe/Berlin; None for what is none."""
    return name if name in _names() else None


@cache
def _names() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())
