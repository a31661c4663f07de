"""What is forgotten, as the database has it."""

import logging
import time
from collections import defaultdict
from collections.abc import Callable

from django.db import DatabaseError

from ingest.database import read_afresh
from processing.forgotten import Forgotten
from processing.models import Forgetting

logger = logging.getLogger(__name__)


def read_forgotten() -> Forgotten:
    """Raises `django.db.DatabaseError`."""
    number = 0
    sites: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for one in Forgetting.objects.all():
        number = max(number, one.number)
        if one.site:
            before = sites[one.site].get(one.visitor, 0)
            sites[one.site][one.visitor] = max(one.before, before)
    return Forgotten(number, dict(sites))


class FollowedForgotten:
    """A `ForgottenUpTo` that reads the database when what it knows is older than `max_age`
    seconds. While the database is away the last known stays; only the first reading raises
    `django.db.DatabaseError`."""

    def __init__(self, max_age: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_age = max_age
        self._clock = clock
        self._known: Forgotten | None = None
        self._read_at = 0.0

    def __call__(self, number: int = 0, /) -> Forgotten:
        known = self._known
        if (
            known is not None
            and known.number >= number
            and self._clock() - self._read_at < self._max_age
        ):
            return known
        try:
            self._known = read_afresh(read_forgotten)
        except DatabaseError:
            logger.warning("What is forgotten can't be read; the known stays.", exc_info=True)
            if known is None:
                raise
        self._read_at = self._clock()
        return self._known or Forgotten()
