"""Which ids are remembered for how long, and where they are looked for. Pure.

An event whose sender chose its id may be sent again. It is a duplicate when the same
site and id was counted before and the two arrived in the same or neighbouring steps of
time: of the recent window, or, if both arrived long after they happened, of the backfill
window. The rule is the same whichever of the two is read first and depends on nothing but
the messages, so that a recount of the log comes to the same decisions whenever it runs.
"""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from ingest.pageview import PageView
from processing import keys

RECENT, BACKFILL = "r", "b"


def fingerprint(page_view: PageView) -> str:
    """64 bits that stand for the site's event id, in hexadecimal."""
    return blake2b(f"{page_view.site}\0{page_view.id}".encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class DuplicateWindows:
    """How long ids are remembered, in ms: `recent` for events that arrive as they happen,
    `backfill` for events that arrive later than `recent` after they happened, so that an
    import can be repeated weeks later."""

    recent: int
    backfill: int

    def kinds(self, page_view: PageView) -> tuple[str, ...]:
        """The windows that the event falls into: an old one into both, so that a copy of it
        that arrived before it was old is known by it, and it by that."""
        if page_view.received - page_view.ts > self.recent:
            return RECENT, BACKFILL
        return (RECENT,)

    def length(self, kind: str) -> int:
        """The window of that kind, in ms."""
        return self.backfill if kind == BACKFILL else self.recent

    def own_keys(self, shard: int, page_view: PageView) -> tuple[tuple[str, int], ...]:
        """Each key that remembers this event, and when the last event that could find it
        there has arrived, in ms."""
        return _own_keys(shard, *self._steps(page_view))

    def neighbour_keys(self, shard: int, page_view: PageView) -> tuple[str, ...]:
        """Every key in which a copy of this event may be remembered."""
        return _neighbour_keys(shard, *self._steps(page_view))

    def _steps(self, page_view: PageView) -> tuple[int, int, int, int]:
        """Length (ms) and number of the steps of the two windows; 0, 0 where it has but one."""
        received, recent = page_view.received, self.recent
        if received - page_view.ts > recent:
            return recent, received // recent, self.backfill, received // self.backfill
        return recent, received // recent, 0, 0


# Events that arrive together share their keys: names are kept, not written for each event
# (2.2 µs without, 0.4 µs with).
@lru_cache(maxsize=1_024)
def _own_keys(
    shard: int, recent: int, n: int, backfill: int, m: int
) -> tuple[tuple[str, int], ...]:
    own = ((keys.ids(shard, RECENT, n), (n + 2) * recent),)
    return (*own, (keys.ids(shard, BACKFILL, m), (m + 2) * backfill)) if backfill else own


@lru_cache(maxsize=1_024)
def _neighbour_keys(shard: int, recent: int, n: int, backfill: int, m: int) -> tuple[str, ...]:
    found = tuple(keys.ids(shard, RECENT, n + near) for near in (0, -1, 1))
    if backfill:
        found += tuple(keys.ids(shard, BACKFILL, m + near) for near in (0, -1, 1))
    return found
