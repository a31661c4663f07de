"""Counts events again, slowly and plainly, to prove what the consumer counted.

It shares with the counting only the message and the names of things: one event after the
other, plain dictionaries, no batches, no shards that matter, no markers.
"""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

from ingest.pageview import PageView
from processing.aggregation import BOT, COUNTED, DUPLICATE, INVALID, LATE, SiteRules
from processing.duplicates import DuplicateWindows
from processing.history import Event
from processing.hyperloglog import HyperLogLog
from processing.keys import DAY, HOUR, LEDGER, LIVE, MINUTE, SECOND, TOTAL

_DAY_MS = 86_400_000


class Number(NamedTuple):
    """Page views or visitors of a page, or of all (`TOTAL`), in one minute, hour or day; or
    what one field of a site's day in the ledger, or of a live minute, says. Buckets and
    fields are named as in Redis (SPEC.md §4)."""

    period: str
    bucket: int
    page: str
    visitors: bool


class SiteDay(NamedTuple):
    """A site's own day, 20261123."""

    site: str
    day: int


class Scope(Protocol):
    """What of the log is to be recounted."""

    def holds(self, day: SiteDay, number: Number, event: Event) -> bool:
        """Whether Redis had counted up to this event when it was asked for the number."""

    def in_ledger(self, shard: int, event: Event) -> bool:
        """The same for the ledger."""

    def noted_duplicate(self, shard: int, event: Event) -> bool:
        """Whether Redis says that this event was a duplicate."""


@lru_cache(maxsize=65_536)
def local_hour(time_zone: str, quarter: int) -> tuple[int, int]:
    """The day, as 20261123, and the beginning of the hour, in Unix seconds, in which a
    quarter of an hour (Unix seconds / 900) lies on the site's clock."""
    moment = datetime.fromtimestamp(quarter * 900, ZoneInfo(time_zone))
    return int(f"{moment:%Y%m%d}"), quarter * 900 - moment.minute * 60 - moment.second


class Recount:
    """`views` and `visitors` by when they happened, `arrivals` (the sites' ledgers and live
    minutes) and `ledger` of the events that were given to `count`, in the order in which they
    arrived, followed by one `finish`.

    `rules` answers a site with its rules; `shard_of` with its shard.
    """

    def __init__(
        self,
        scope: Scope,
        rules: Callable[[str], SiteRules],
        shard_of: Callable[[str], int],
        windows: DuplicateWindows,
    ) -> None:
        self.events = 0
        self.views: defaultdict[SiteDay, Counter[Number]] = defaultdict(Counter)
        self.visitors: defaultdict[SiteDay, dict[Number, HyperLogLog]] = defaultdict(dict)
        self.arrivals: defaultdict[SiteDay, Counter[Number]] = defaultdict(Counter)
        # (shard, topic id, partition, category) → events
        self.ledger: Counter[tuple[int, str, int, str]] = Counter()
        self._scope = scope
        self._rules = rules
        self._shard_of = shard_of
        self._repeats = Repeats(windows)

    def count(self, event: Event) -> None:
        self.events += 1
        if event.page_view is None:
            # What can't be read belongs to no site; the first shard keeps the tally.
            self._tally(0, event, INVALID)
            return
        shard = self._shard_of(event.page_view.site)
        if event.page_view.retryable:
            noted = self._scope.noted_duplicate(shard, event)
            if self._repeats.is_repeat(event, event.page_view, noted):
                self._tally(shard, event, DUPLICATE)
                return
        self._count_new(shard, event, event.page_view)

    def finish(self) -> None:
        """Count what Redis took for a duplicate of something that never came."""
        for event, page_view in self._repeats.unexplained():
            shard = self._shard_of(page_view.site)
            self._tally(shard, event, DUPLICATE, -1)
            self._count_new(shard, event, page_view)

    def _count_new(self, shard: int, event: Event, page_view: PageView) -> None:
        rules = self._rules(page_view.site)
        if page_view.bot is not None:
            self._tally(shard, event, BOT)
        elif rules.retention_days and (
            page_view.received - page_view.ts > rules.retention_days * _DAY_MS
        ):
            self._tally(shard, event, LATE)
        else:
            self._tally(shard, event, COUNTED)
            self._count_page_view(event, page_view, rules.time_zone)
            if page_view.name == "pageview":
                minute, second = divmod(page_view.received // 1_000, 60)
                fields = (page_view.path, TOTAL, f"{SECOND}{second:02d}")
                self._count_arrival(event, page_view, LIVE, minute, fields)

    def _tally(self, shard: int, event: Event, category: str, events: int = 1) -> None:
        if self._scope.in_ledger(shard, event):
            self.ledger[shard, event.topic_id, event.partition, category] += events
        if event.page_view is not None:
            day = self._day_of_arrival(event.page_view).day
            self._count_arrival(event, event.page_view, LEDGER, day, (category,), events)

    def _count_arrival(
        self,
        event: Event,
        page_view: PageView,
        period: str,
        bucket: int,
        fields: tuple[str, ...],
        events: int = 1,
    ) -> None:
        day, whole = self._day_of_arrival(page_view), Number(period, bucket, TOTAL, visitors=False)
        if self._scope.holds(day, whole, event):
            for name in fields:
                self.arrivals[day][whole._replace(page=name)] += events

    def _day_of_arrival(self, page_view: PageView) -> SiteDay:
        time_zone = self._rules(page_view.site).time_zone
        return SiteDay(page_view.site, local_hour(time_zone, page_view.received // 900_000)[0])

    def _count_page_view(self, event: Event, page_view: PageView, time_zone: str) -> None:
        for day, period, bucket in buckets(page_view, time_zone):
            total = Number(period, bucket, TOTAL, visitors=False)
            if page_view.name == "pageview" and self._scope.holds(day, total, event):
                self.views[day][total] += 1
                self.views[day][total._replace(page=page_view.path)] += 1
            visitors = [Number(period, bucket, TOTAL, visitors=True)]
            if page_view.name == "pageview" and period == DAY:
                visitors.append(Number(period, bucket, page_view.path, visitors=True))
            for number in visitors:
                if self._scope.holds(day, number, event):
                    seen = self.visitors[day].setdefault(number, HyperLogLog())
                    seen.add(page_view.visitor)


def buckets(page_view: PageView, time_zone: str) -> Iterator[tuple[SiteDay, str, int]]:
    """The minute, hour and day in which a page view happened, each with the day it is of."""
    second = page_view.ts // 1_000
    day, hour = local_hour(time_zone, second // 900)
    day_of_hour, _ = local_hour(time_zone, hour // 900)
    yield SiteDay(page_view.site, day), MINUTE, second // 60
    yield SiteDay(page_view.site, day_of_hour), HOUR, hour
    yield SiteDay(page_view.site, day), DAY, day


@dataclass
class _Pending:
    """What Redis took for a duplicate although nothing before it has its id."""

    event: Event
    page_view: PageView


class Repeats:
    """The duplicate rule (SPEC.md §5) over all ids there are, kept in a temporary file so
    that memory does not grow with them.

    Between partitions there is no order: of two events with one id in different partitions
    either may have been counted. Where Redis noted the earlier one as the duplicate, that is
    believed if the other one does come, in another partition.
    """

    def __init__(self, windows: DuplicateWindows) -> None:
        self._windows = windows
        self._pending: dict[bytes, list[_Pending]] = {}
        self._file = sqlite3.connect("", isolation_level=None)
        self._file.execute("PRAGMA cache_size = -65536")
        self._file.execute("PRAGMA journal_mode = OFF")
        self._file.execute(
            "CREATE TABLE counted (id BLOB, class TEXT, step INTEGER, "
            "PRIMARY KEY (id, class, step)) WITHOUT ROWID"
        )

    def is_repeat(self, event: Event, page_view: PageView, noted: bool) -> bool:
        """`noted`: Redis says it is one. An event that is none is remembered."""
        id_ = blake2b(f"{page_view.site}\0{page_view.id}".encode(), digest_size=16).digest()
        counted = self._file.execute("SELECT class, step FROM counted WHERE id = ?", [id_])
        if any(self._repeats(page_view, *other) for other in counted.fetchall()):
            return True
        if noted:
            self._pending.setdefault(id_, []).append(_Pending(event, page_view))
            return True
        steps = self._steps(page_view)
        self._file.executemany(
            "INSERT INTO counted VALUES (?, ?, ?)", [(id_, *step) for step in steps]
        )
        if id_ in self._pending:
            self._explain(id_, event, steps)
        return False

    def unexplained(self) -> Iterator[tuple[Event, PageView]]:
        for pending in self._pending.values():
            yield from ((one.event, one.page_view) for one in pending)

    def _explain(self, id_: bytes, counted: Event, steps: list[tuple[str, int]]) -> None:
        self._pending[id_] = [
            one
            for one in self._pending[id_]
            if one.event[:2] == counted[:2]
            or not any(self._repeats(one.page_view, *step) for step in steps)
        ]

    def _steps(self, page_view: PageView) -> list[tuple[str, int]]:
        """The class and step of every window that the event falls into."""
        return [
            (kind, page_view.received // self._windows.length(kind))
            for kind in self._windows.kinds(page_view)
        ]

    def _repeats(self, page_view: PageView, class_: str, step: int) -> bool:
        """Whether it repeats one with its id that was counted in that step of that class."""
        return any(class_ == own and abs(at - step) <= 1 for own, at in self._steps(page_view))
