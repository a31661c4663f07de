"""Counts events where they happened: in minutes, hours and days of their site. Pure.

Events are taken in groups of a quarter of an hour, whose hour and day are the same, so that
values are counted column by column and not event by event.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ingest.pageview import PageView
from processing import keys
from processing.calendar import LocalHour, local_hour
from processing.deltas import Deltas
from processing.dimensions import (
    ALL,
    ALL_BOTS,
    BOT_PAGE,
    PAGEVIEW,
    count_by_event,
    count_by_page_view,
)
from processing.rules import Retention, SiteRules
from processing.visits import Change, count_pages, count_totals

_MINUTE_MS, _QUARTER_MS = 60_000, 900_000


@dataclass(frozen=True)
class HistoryCounts:
    """Adds to `deltas`. `now_s`, Unix seconds, only spares what Redis would drop at once."""

    deltas: Deltas
    retention: Retention
    now_s: int

    def count(self, site: keys.SiteKeys, rules: SiteRules, events: Sequence[PageView]) -> None:
        for quarter in _grouped(events, _QUARTER_MS).values():
            local = local_hour(rules.time_zone, quarter[0].ts)
            views = [event for event in quarter if event.name == PAGEVIEW]
            fields = count_by_event(quarter)
            fields.update(_paths(views))
            fields.update(count_by_page_view(views))
            self._add_long(site, rules, local, fields)
            self._see(site, rules, local, quarter)
            self._see_on_pages(site, rules, local, views)
        for minute, of_minute in _grouped(events, _MINUTE_MS).items():
            expiry = self._minute_expiry(minute)
            views = [event for event in of_minute if event.name == PAGEVIEW]
            self._add(site.views(keys.MINUTE, minute), expiry, _paths(views))
            self._see_in(site.visitors(keys.MINUTE, minute), expiry, of_minute)

    def count_bots(self, site: keys.SiteKeys, rules: SiteRules, events: Sequence[PageView]) -> None:
        """The same of what bots sent: page views only."""
        views = [event for event in events if event.name == PAGEVIEW]
        for quarter in _grouped(views, _QUARTER_MS).values():
            paths = Counter([BOT_PAGE.field(view.path) for view in quarter])
            local = local_hour(rules.time_zone, quarter[0].ts)
            self._add_long(site, rules, local, {ALL_BOTS: len(quarter), **paths})
        for minute, of_minute in _grouped(views, _MINUTE_MS).items():
            key, expiry = site.views(keys.MINUTE, minute), self._minute_expiry(minute)
            self._add(key, expiry, {ALL_BOTS: len(of_minute)})

    def count_visits(
        self, site: keys.SiteKeys, rules: SiteRules, changes: Sequence[Change]
    ) -> None:
        """A visit counts where it began, however long it goes on."""
        for minute, of_minute in _by_start(changes, _MINUTE_MS).items():
            key, expiry = site.views(keys.MINUTE, minute), self._minute_expiry(minute)
            self._add(key, expiry, count_totals(of_minute))
        for quarter, of_quarter in _by_start(changes, _QUARTER_MS).items():
            local = local_hour(rules.time_zone, quarter * _QUARTER_MS)
            fields = {**count_totals(of_quarter), **count_pages(of_quarter)}
            self._add_long(site, rules, local, fields)

    def _add_long(
        self, site: keys.SiteKeys, rules: SiteRules, local: LocalHour, fields: Mapping[str, int]
    ) -> None:
        """What hours and days have alike."""
        self._add(site.views(keys.HOUR, local.hour), self._hour_expiry(local), fields)
        self._add(site.views(keys.DAY, local.day), rules.day_expiry(local), fields)

    def _add(self, key: str, expiry: int, fields: Mapping[str, int]) -> None:
        if self._is_kept(expiry):
            self.deltas.add(key, expiry, fields)

    def _see(
        self, site: keys.SiteKeys, rules: SiteRules, local: LocalHour, events: Sequence[PageView]
    ) -> None:
        self._see_in(site.visitors(keys.HOUR, local.hour), self._hour_expiry(local), events)
        self._see_in(site.visitors(keys.DAY, local.day), rules.day_expiry(local), events)

    def _see_in(self, key: str, expiry: int, events: Sequence[PageView]) -> None:
        if self._is_kept(expiry):
            self.deltas.see(key, expiry, {event.visitor for event in events})

    def _see_on_pages(
        self, site: keys.SiteKeys, rules: SiteRules, local: LocalHour, views: Sequence[PageView]
    ) -> None:
        if not views or not self._is_kept(rules.day_expiry(local)):
            return
        pages = self.deltas.page_visitors.setdefault(site.views(keys.DAY, local.day), {})
        for view in views:
            visitors = pages.get(view.path)
            if visitors is None:
                pages[view.path] = {view.visitor}
            else:
                visitors.add(view.visitor)

    def _is_kept(self, expiry: int) -> bool:
        return not expiry or expiry > self.now_s

    def _minute_expiry(self, minute: int) -> int:
        return (minute + 1) * 60 + self.retention.minute

    def _hour_expiry(self, local: LocalHour) -> int:
        return local.hour + 3_600 + self.retention.hour


def _grouped(events: Sequence[PageView], length_ms: int) -> dict[int, list[PageView]]:
    """By the step of so many ms in which they happened."""
    groups: defaultdict[int, list[PageView]] = defaultdict(list)
    for event in events:
        groups[event.ts // length_ms].append(event)
    return groups


def _by_start(changes: Sequence[Change], length_ms: int) -> dict[int, list[Change]]:
    groups: defaultdict[int, list[Change]] = defaultdict(list)
    for change in changes:
        groups[change.visit.start // length_ms].append(change)
    return groups


def _paths(views: Sequence[PageView]) -> Counter[str]:
    """Page views by path, and of all."""
    paths = Counter([view.path for view in views])
    if views:
        paths[ALL] = len(views)
    return paths
