"""Counts events again, slowly and plainly, to prove what the consumer counted.

It shares with the counting only the message and the names of things: one event after the
other, plain dictionaries, no batches, no shards that matter, no markers.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

from ingest.pageview import PageView
from processing.aggregation import BOT, COUNTED, DUPLICATE, FORGOTTEN, INVALID, LATE
from processing.dimensions import (
    ALL,
    ALL_BOTS,
    BOT_PAGE,
    BOT_REASON,
    DIMENSIONS,
    ENGAGEMENT,
    EVENT,
    PAGE,
    PAGEVIEW,
    PROPERTY,
    PROPERTY_VALUE,
    SECOND,
    prefix_of,
    shown,
)
from processing.duplicates import DuplicateWindows
from processing.history import Event
from processing.hyperloglog import HyperLogLog
from processing.keys import DAY, HOUR, LEDGER, LIVE, MINUTE
from processing.recount_visits import VisitRecount
from processing.repeats import Repeats
from processing.rules import SiteRules

_DAY_MS = 86_400_000


class Number(NamedTuple):
    """What one field of a minute, hour, day, live minute or a site's day in the ledger says; or
    the visitors of a page, or of all, in one of them. Buckets and fields are named as in Redis
    (SPEC.md §4)."""

    period: str
    bucket: int
    field: str
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
    """`counts` and `visitors` by when they happened, `arrivals` (the sites' ledgers and live
    minutes) and `ledger` of the events that were given to `count`, in the order in which they
    arrived, followed by one `finish`.

    `added`: how much was ever added to the values of each dimension, named by its character.
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
        self.counts: defaultdict[SiteDay, Counter[Number]] = defaultdict(Counter)
        self.added: defaultdict[SiteDay, Counter[Number]] = defaultdict(Counter)
        self.visitors: defaultdict[SiteDay, dict[Number, HyperLogLog]] = defaultdict(dict)
        self.arrivals: defaultdict[SiteDay, Counter[Number]] = defaultdict(Counter)
        # (shard, topic id, partition, category) → events
        self.ledger: Counter[tuple[int, str, int, str]] = Counter()
        self._scope = scope
        self._rules = rules
        self._shard_of = shard_of
        self._repeats = Repeats(windows)
        self._visits = VisitRecount()

    def count(self, event: Event) -> None:
        self.events += 1
        if event.page_view is None:
            # What can't be read belongs to no site; the first shard keeps the tally.
            self._tally(0, event, FORGOTTEN if event.is_forgotten else INVALID)
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

    def of_day(self, day: SiteDay) -> dict[Number, int]:
        """Every number of the day; 0 of what once was a visit's exit page and is no more."""
        visitors = {number: seen.count() for number, seen in self.visitors.get(day, {}).items()}
        return {**self.counts.get(day, {}), **self.arrivals.get(day, {}), **visitors}

    def _count_new(self, shard: int, event: Event, page_view: PageView) -> None:
        rules = self._rules(page_view.site)
        if page_view.bot is not None and page_view.bot not in rules.people:
            self._tally(shard, event, BOT)
            self._count_bot(event, page_view, rules.time_zone)
        elif rules.retention_days and (
            page_view.received - page_view.ts > rules.retention_days * _DAY_MS
        ):
            self._tally(shard, event, LATE)
        else:
            self._tally(shard, event, COUNTED)
            self._count_history(event, page_view, rules.time_zone)
            if page_view.name == PAGEVIEW:
                minute, second = divmod(page_view.received // 1_000, 60)
                fields = (page_view.path, ALL, f"{SECOND}{second:02d}")
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
        day, whole = self._day_of_arrival(page_view), Number(period, bucket, ALL, visitors=False)
        if self._scope.holds(day, whole, event):
            for name in fields:
                self.arrivals[day][whole._replace(field=name)] += events
                if period == LIVE and (prefix := prefix_of(name)):
                    self.added[day][whole._replace(field=prefix)] += events

    def _day_of_arrival(self, page_view: PageView) -> SiteDay:
        time_zone = self._rules(page_view.site).time_zone
        return SiteDay(page_view.site, local_hour(time_zone, page_view.received // 900_000)[0])

    def _count_history(self, event: Event, page_view: PageView, time_zone: str) -> None:
        if page_view.name != ENGAGEMENT:
            self._count_event(event, page_view, time_zone)
        for start, name, change in self._visits.add(page_view):
            for day, period, bucket in buckets(page_view.site, start, time_zone):
                if period != MINUTE or name[0] == ALL:
                    self._add(event, day, Number(period, bucket, name, visitors=False), change)

    def _count_event(self, event: Event, page_view: PageView, time_zone: str) -> None:
        fields = list(_fields(page_view))
        for day, period, bucket in buckets(page_view.site, page_view.ts, time_zone):
            whole = Number(period, bucket, ALL, visitors=False)
            for name in fields:
                if period != MINUTE or name[0] in (ALL, PAGE.prefix):
                    self._add(event, day, whole._replace(field=name), 1)
            self._see(event, day, whole._replace(visitors=True), page_view)
            if page_view.name == PAGEVIEW and period == DAY:
                self._see(event, day, Number(period, bucket, page_view.path, True), page_view)

    def _count_bot(self, event: Event, page_view: PageView, time_zone: str) -> None:
        if page_view.name != PAGEVIEW:
            return
        for day, period, bucket in buckets(page_view.site, page_view.ts, time_zone):
            whole = Number(period, bucket, ALL_BOTS, visitors=False)
            self._add(event, day, whole, 1)
            if period != MINUTE:
                for field in (BOT_PAGE.field(page_view.path), BOT_REASON.field(f"{page_view.bot}")):
                    self._add(event, day, whole._replace(field=field), 1)

    def _add(self, event: Event, day: SiteDay, number: Number, change: int) -> None:
        if self._scope.holds(day, number._replace(field=ALL), event):
            self.counts[day][number] += change
            prefix = prefix_of(number.field)
            if prefix is not None:
                self.added[day][number._replace(field=prefix)] += max(change, 0)

    def _see(self, event: Event, day: SiteDay, number: Number, page_view: PageView) -> None:
        if self._scope.holds(day, number, event):
            self.visitors[day].setdefault(number, HyperLogLog()).add(page_view.visitor)


def _fields(page_view: PageView) -> Iterator[str]:
    """What of an event is counted where it happened."""
    if page_view.name == PAGEVIEW:
        yield ALL
        yield page_view.path
        for name, dimension in DIMENSIONS.items():
            value = getattr(page_view, name, None)
            if name.endswith("_version"):
                of = getattr(page_view, name.removesuffix("_version"))
                value = f"{of} {value}" if of and value else None
            if value:
                yield dimension.field(value)
    else:
        yield EVENT.field(page_view.name)
    for name, value in (page_view.props or {}).items():
        yield PROPERTY.field(name)
        yield PROPERTY_VALUE.field(f"{name}\0{shown(value)}")


def buckets(site: str, ts: int, time_zone: str) -> Iterator[tuple[SiteDay, str, int]]:
    """The minute, hour and day of a moment, each with the site's day that it is of."""
    second = ts // 1_000
    day, hour = local_hour(time_zone, second // 900)
    day_of_hour, _ = local_hour(time_zone, hour // 900)
    yield SiteDay(site, day), MINUTE, second // 60
    yield SiteDay(site, day_of_hour), HOUR, hour
    yield SiteDay(site, day), DAY, day
