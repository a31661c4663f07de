"""The tracked sites, as every process sees them without asking the database per event."""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec
from django.db import DatabaseError

from ingest.database import read_afresh
from ingest.models import Alias, Site

logger = logging.getLogger(__name__)


class SiteSettings(msgspec.Struct, frozen=True, gc=False):
    """What of a `Site` decides how its events are taken and counted, under the model's names. Of
    each event several are read, which takes a model half a microsecond more."""

    public_id: str
    active: bool
    allowed_hostnames: str
    honour_opt_out: bool
    time_zone: str
    retention_days: int | None
    path_rules: str
    internal_addresses: str
    bots_as_people: str


class SiteDirectory:
    """All sites by public id and alias, read again when they are older than `max_age` seconds.

    Thread-safe. While the database is away the last known sites are kept and the trouble
    is logged; only the very first reading raises `django.db.DatabaseError`.
    """

    def __init__(self, max_age: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_age = max_age
        self._clock = clock
        self._lock = threading.Lock()
        self._sites: dict[str, SiteSettings] | None = None
        self._read_at = 0.0

    def get(self, name: str) -> SiteSettings | None:
        """The site with this public id, or this alias."""
        return self._current().get(name)

    def _current(self) -> dict[str, SiteSettings]:
        sites = self._sites
        if sites is not None and self._clock() - self._read_at < self._max_age:
            return sites
        if not self._lock.acquire(blocking=sites is None):
            return sites or {}
        try:
            return self._read()
        finally:
            self._lock.release()

    def _read(self) -> dict[str, SiteSettings]:
        try:
            self._sites = read_afresh(_read_sites)
        except DatabaseError:
            # The database's own words name hosts and users: they are for the log.
            logger.warning("The sites can't be read; what is known of them stays.", exc_info=True)
            if self._sites is None:
                raise
        self._read_at = self._clock()
        return self._sites


def _read_sites() -> dict[str, SiteSettings]:
    rows = Site.objects.values_list("pk", *SiteSettings.__struct_fields__)
    sites = {pk: SiteSettings(*fields) for pk, *fields in rows}
    # An alias of a site that is newer than the list of sites comes with the next reading.
    aliases = Alias.objects.values_list("name", "site")
    named = {name: sites[site] for name, site in aliases if site in sites}
    return named | {site.public_id: site for site in sites.values()}


class FollowedSites(SiteDirectory):
    """The same for a process that must never wait for the database: `follow` reads the sites
    again every half a second, in a thread, and `get` answers with what is known."""

    _EVERY_S = 0.5

    @property
    def are_known(self) -> bool:
        return self._sites is not None

    def wait_known(self, seconds: float) -> None:
        """Until they were read for the first time, but not longer."""
        deadline = self._clock() + seconds
        while not self.are_known and self._clock() < deadline:
            time.sleep(0.02)

    def follow(self, stop: threading.Event) -> None:
        """Returns once `stop` is set."""
        while True:
            with suppress(DatabaseError):
                self._read()
            if stop.wait(self._EVERY_S):
                return

    def _current(self) -> dict[str, SiteSettings]:
        if self._sites is None:
            raise DatabaseError("the sites were not read yet")
        return self._sites
