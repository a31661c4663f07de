"""Which ids are remembered for how long, and where they are looked for. Pure.

An event whose sender chose its id may be sent again. It is a duplicate when the same
site and id was counted before and the two arrived in the same or neighbouring steps of
time. The rule depends on nothing but the messages, so that a recount of the log comes to
the same decisions whenever it runs.
"""

from dataclasses import dataclass
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

    def kind(self, page_view: PageView) -> str:
        return BACKFILL if page_view.received - page_view.ts > self.recent else RECENT

    def own_key(self, shard: int, page_view: PageView) -> str:
        """The key that remembers this event."""
        kind = self.kind(page_view)
        return keys.ids(shard, kind, page_view.received // self._length(kind))

    def step_end(self, page_view: PageView) -> int:
        """When the last event that could repeat this one has arrived, in ms."""
        length = self._length(self.kind(page_view))
        return (page_view.received // length + 2) * length

    def neighbour_keys(self, shard: int, page_view: PageView) -> list[str]:
        """Every key in which this event may be remembered."""
        kinds = (RECENT, BACKFILL) if self.kind(page_view) == BACKFILL else (RECENT,)
        return [
            keys.ids(shard, kind, page_view.received // self._length(kind) + near)
            for kind in kinds
            for near in (0, -1, 1)
        ]

    def _length(self, kind: str) -> int:
        return self.backfill if kind == BACKFILL else self.recent
