"""Counts events where they happened: in minutes, hours and days of their site. Pure.

Events are taken in groups of an hour of the site, which lies in one day, so that values are counted
column by column and not event by event.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from ingest.pageview import PageView
from processing import keys
from processing.calendar import LocalHour, local_hour
from processing.deltas import Deltas, Places
from processing.dimensions import (
    ALL,
    ALL_BOTS,
    PAGEVIEW,
    count_by_bot,
    count_by_event,
    count_by_page_view,
)
from processing.rules import Retention, SiteRules
from processing.visits import Change, count_pages, count_totals

_MINUTE_MS, _QUARTER_MS = 60_000, 900_000
Thing = TypeVar("Thing")


@dataclass(frozen=True)
class HistoryCounts:
    """What a batch counts of one site. `now_s`, Unix seconds, only spares what Redis would drop at
    once. What events, bots and visits add has no field in common."""

    deltas: Deltas
    retention: Retention
    now_s: int
    site: keys.SiteKeys
    rules: SiteRules
    _minutes: defaultdict[int, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    _hours: defaultdict[LocalHour, dict[str, int]] = field(
        default_factory=lambda: defaultdict(dict)
    )

    def count(self, events: Sequence[PageView]) -> None:
        times = [event.ts for event in events]
        for local, of_hour in self._by_hour(events, times).items():
            self._count_hour(local, of_hour)
        for minute, of_minute in by_step(events, times, _MINUTE_MS).items():
            self.count_pages(minute, _page_views(of_minute))
            place = (self.site.visitors(keys.MINUTE, minute), self._minute_expiry(minute))
            self._see([place], of_minute)

    def count_pages(self, minute: int, views: Sequence[PageView]) -> None:
        """Page views of one minute."""
        self._minutes[minute].update(Counter([view.path for view in views]))
        if views:
            self._minutes[minute][ALL] = len(views)

    def _count_hour(self, local: LocalHour, events: Sequence[PageView]) -> None:
        views = _page_views(events)
        fields = self._hours[local]
        fields.update(count_by_event(events))
        if views:
            pages = _visitors_by_page(views)
            fields.update({page: len(visitors) for page, visitors in pages.items()})
            fields[ALL] = len(views)
            fields.update(count_by_page_view(views))
            place = (self.site.views(keys.DAY, local.day), self.rules.day_expiry(local))
            if self._is_kept(place):
                self.deltas.page_visitors.append((place, pages))
        hour, day = self._hour_and_day(local)
        self._see([(keys.visitors_of(key), expiry) for key, expiry in (hour, day)], events)

    def count_bots(self, events: Sequence[PageView]) -> None:
        """The same of what bots sent: page views only."""
        views = _page_views(events)
        times = [view.ts for view in views]
        for local, of_hour in self._by_hour(views, times).items():
            self._hours[local].update(count_by_bot(of_hour))
            self._hours[local][ALL_BOTS] = len(of_hour)
        for minute, of_minute in by_step(views, times, _MINUTE_MS).items():
            self._minutes[minute][ALL_BOTS] = len(of_minute)

    def count_visits(self, changes: Sequence[Change]) -> None:
        """A visit counts where it began, however long it goes on."""
        times = [change.visit.start for change in changes]
        for minute, of_minute in by_step(changes, times, _MINUTE_MS).items():
            self._minutes[minute].update(_changed(count_totals(of_minute)))
        for local, of_hour in self._by_hour(changes, times).items():
            self._hours[local].update(_changed(count_totals(of_hour)))
            self._hours[local].update(_changed(count_pages(of_hour)))

    def add(self) -> None:
        """Hand over what was counted."""
        for minute, fields in self._minutes.items():
            place = (self.site.views(keys.MINUTE, minute), self._minute_expiry(minute))
            self._add([place], fields)
        days: defaultdict[tuple[str, int], list[LocalHour]] = defaultdict(list)
        for local in self._hours:
            days[self._hour_and_day(local)[1]].append(local)
        for day, hours in days.items():
            if len(hours) == 1:
                # Most often: hour and day are told, and unpacked in Redis, once.
                self._add([self._hour_and_day(hours[0])[0], day], self._hours[hours[0]])
                continue
            for local in hours:
                self._add([self._hour_and_day(local)[0]], self._hours[local])
            self._add([day], _sum(self._hours[local] for local in hours))

    def _by_hour(
        self, things: Sequence[Thing], times: Sequence[int]
    ) -> Mapping[LocalHour, Sequence[Thing]]:
        hours: dict[LocalHour, Sequence[Thing]] = {}
        for quarter, of_quarter in by_step(things, times, _QUARTER_MS).items():
            local = local_hour(self.rules.time_zone, quarter * _QUARTER_MS)
            hours[local] = [*hours[local], *of_quarter] if local in hours else of_quarter
        return hours

    def _hour_and_day(self, local: LocalHour) -> tuple[tuple[str, int], tuple[str, int]]:
        """Their hashes, and when they go."""
        expiry = local.hour + 3_600 + self.retention.hour
        return (
            (self.site.views(keys.HOUR, local.hour), expiry),
            (self.site.views(keys.DAY, local.day), self.rules.day_expiry(local)),
        )

    def _minute_expiry(self, minute: int) -> int:
        return (minute + 1) * 60 + self.retention.minute

    def _add(self, places: Places, fields: Mapping[str, int]) -> None:
        kept = list(filter(self._is_kept, places))
        if kept and fields:
            self.deltas.buckets.append((kept, fields))

    def _see(self, places: Places, events: Sequence[PageView]) -> None:
        if kept := list(filter(self._is_kept, places)):
            self.deltas.visitors.append((kept, {event.visitor for event in events}))

    def _is_kept(self, place: tuple[str, int]) -> bool:
        _, expiry = place
        return not expiry or expiry > self.now_s


def by_step(
    things: Sequence[Thing], times: Sequence[int], length_ms: int
) -> Mapping[int, Sequence[Thing]]:
    """By the step of so many ms in which each thing's time lies."""
    if not times:
        return {}
    first = min(times) // length_ms
    if max(times) // length_ms == first:
        return {first: things}
    groups: defaultdict[int, list[Thing]] = defaultdict(list)
    # They are nearly in order, so that most lie in the step of the one before.
    current, append = first, groups[first].append
    for thing, ms in zip(things, times, strict=True):
        step = ms // length_ms
        if step != current:
            current, append = step, groups[step].append
        append(thing)
    return groups


def _page_views(events: Sequence[PageView]) -> Sequence[PageView]:
    return [event for event in events if event.name == PAGEVIEW]


def _visitors_by_page(views: Sequence[PageView]) -> Mapping[str, list[str]]:
    """A visitor as often as he saw it."""
    pages: defaultdict[str, list[str]] = defaultdict(list)
    for view in views:
        pages[view.path].append(view.visitor)
    return pages


def _changed(fields: Mapping[str, int]) -> dict[str, int]:
    return {name: change for name, change in fields.items() if change}


def _sum(counts: Iterable[Mapping[str, int]]) -> Mapping[str, int]:
    total: Counter[str] = Counter()
    for fields in counts:
        total.update(fields)
    return _changed(total)
