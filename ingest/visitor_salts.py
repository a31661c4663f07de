"""The secrets of the days: made ahead, the same in every process, destroyed after their day.

A day begins at midnight of a site's time zone, so one date is today somewhere for 50 hours. Its
salt is in the database from a day before that until the last time zone has left it.
"""

import logging
import secrets
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial

from django.db import DatabaseError

from ingest.database import read_afresh
from ingest.models import VisitorSalt

logger = logging.getLogger(__name__)

SALT_BYTES = 32
# The time zones farthest from UTC, and what processes' clocks may differ by.
_FIRST_ZONE, _LAST_ZONE = timedelta(hours=14), timedelta(hours=-12)
_CLOCK_MARGIN = timedelta(minutes=10)
_AHEAD = timedelta(days=1)


def days_alive(now: datetime) -> list[date]:
    """The dates that it is, was a moment ago or will be in a day, somewhere; `now` is in UTC."""
    first = (now + _LAST_ZONE - _CLOCK_MARGIN).date()
    last = (now + _FIRST_ZONE + _AHEAD).date()
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


class FollowedSalts:
    """The salt of each day, read twice a minute by a thread, so that no event waits for it.

    While the database is away the known ones stay, which reach a day ahead; `clock` gives UTC.
    """

    _EVERY_S, _AGAIN_S, _START_S = 30.0, 0.5, 5.0

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._salts: dict[date, bytes] = {}
        self._was_read = threading.Event()

    def salt_of(self, day: date) -> bytes:
        """32 bytes. Raises `django.db.DatabaseError` for a day whose salt was not read."""
        try:
            return self._salts[day]
        except KeyError:
            raise DatabaseError(f"the salt of {day} is not known") from None

    def start(self) -> None:
        """Follow them in a thread for as long as the process lives; returns when they were read, or
        could not be. May be called where a loop runs, as nothing is read in the caller's thread."""
        threading.Thread(
            target=self.follow, args=(threading.Event(),), name="visitor-salts", daemon=True
        ).start()
        self._was_read.wait(self._START_S)

    def follow(self, stop: threading.Event) -> None:
        """Returns once `stop` is set."""
        while True:
            self.read()
            self._was_read.set()
            if stop.wait(self._EVERY_S if self._salts else self._AGAIN_S):
                return

    def read(self) -> None:
        """Make what is missing, destroy what is over, and know the rest."""
        days = days_alive(self._clock())
        try:
            self._salts = read_afresh(partial(_read_salts, days))
        except DatabaseError:
            logger.warning("The days' salts can't be read; the known ones stay.", exc_info=True)
            self._salts = {day: salt for day, salt in self._salts.items() if day >= days[0]}


def _read_salts(days: list[date]) -> dict[date, bytes]:
    """Destroys those before the first of `days`."""
    known = dict(VisitorSalt.objects.filter(day__in=days).values_list("day", "salt"))
    if len(known) < len(days):
        # Whoever comes second finds the first one's: a day is unique.
        VisitorSalt.objects.bulk_create(
            (VisitorSalt(day=day, salt=secrets.token_bytes(SALT_BYTES)) for day in days),
            ignore_conflicts=True,
        )
        known = dict(VisitorSalt.objects.filter(day__in=days).values_list("day", "salt"))
    over = VisitorSalt.objects.filter(day__lt=days[0])
    if over.exists():
        over.delete()
    return {day: bytes(salt) for day, salt in known.items()}
