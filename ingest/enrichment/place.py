"""Country and region of an address, by a database in MaxMind's format. Pure but for the file."""

import logging
from functools import lru_cache
from typing import Any, NamedTuple

import maxminddb

logger = logging.getLogger(__name__)


class Place(NamedTuple):
    """`country` is ISO 3166-1 alpha-2; `region` is the name of its largest subdivision."""

    country: str | None = None
    region: str | None = None


NOWHERE = Place()


class PlaceFinder:
    """Looks addresses up in a file of MaxMind's format, such as GeoLite2-City, GeoIP2-City or
    DB-IP's; without one it knows none. The file is mapped into memory, shared by all processes.

    Raises `OSError` or `maxminddb.InvalidDatabaseError` for a file that is none.
    """

    def __init__(self, file: str | None) -> None:
        self._database = None if file is None else maxminddb.open_database(file)
        # 5 to 50 µs an address that is new, 0.1 µs after that. Bounded: 10 MB.
        self.find = lru_cache(maxsize=65_536)(self._find)

    def _find(self, address: str) -> Place:
        if self._database is None:
            return NOWHERE
        try:
            record = self._database.get(address)
        except (ValueError, TypeError):  # the latter for a NUL in it
            return NOWHERE
        except maxminddb.InvalidDatabaseError:
            logger.warning("The place database is damaged: no country.", exc_info=True)
            return NOWHERE
        return _place(record) if isinstance(record, dict) else NOWHERE


def _place(record: dict[str, Any]) -> Place:
    try:
        country = record["country"]["iso_code"]
        subdivisions = record.get("subdivisions")
        return Place(country, subdivisions[0]["names"]["en"] if subdivisions else None)
    except (KeyError, IndexError, TypeError):
        return NOWHERE
