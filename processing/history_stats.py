"""What happened in minutes, hours and days of a site, by when it happened."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from ingest.models import Site
from processing import keys
from processing.calendar import day_number, day_start, days, local_hours
from processing.dimensions import (
    ALL,
    ALL_BOTS,
    ALL_BOUNCES,
    ALL_DURATION,
    ALL_VISITS,
    BOT_PAGE,
    DIMENSIONS,
    OTHER,
    PAGE,
    PROPERTY,
    PROPERTY_VALUE,
)
from processing.reader import Reader

MINUTE, HOUR, DAY = "minute", "hour", "day"
# The most days of which each can be asked for at once.
INTERVALS = {MINUTE: 2, HOUR: 92, DAY: 3_660}
# Asks for the values of one property: `prop:plan`.
PROPERTY_OF = "prop:"
_TOTALS = (ALL, ALL_BOTS, ALL_VISITS, ALL_BOUNCES, ALL_DURATION)
# Two keys of numbers a bucket.
_KEYS = 2


class UnknownDimension(LookupError):
    """Raised when nothing is counted by what was asked for."""


@dataclass(frozen=True)
class Top:
    """The most frequent values, what is counted (`metric`), and how much of it there is in
    `total`; `other`: of values that were not kept."""

    metric: str
    results: list[dict[str, Any]]
    total: int
    other: int


class HistoryStats(Reader):
    """Answers by the site's own days, `first` to `last`, both included."""

    def totals(self, site: Site, first: date, last: date) -> dict[str, Any]:
        """Page views, visitors, bots and visits of all the days together."""
        names = self._keys(site)
        numbers = [day_number(day) for day in days(first, last)]
        pipeline = self.client.pipeline(transaction=False)
        for number in numbers:
            pipeline.hmget(names.views(keys.DAY, number), _TOTALS)
        pipeline.pfcount(*(names.visitors(keys.DAY, number) for number in numbers))
        *found, visitors = pipeline.execute()
        sums = [sum(int(n or 0) for n in column) for column in zip(*found, strict=True)]
        return _totals(sums, visitors)

    def timeseries(
        self, site: Site, first: date, last: date, interval: str
    ) -> list[dict[str, Any]]:
        """The same of each minute, hour or day, oldest first, with `time`: when it begins on the
        site's clock, ISO 8601; a day's is its date."""
        names = self._keys(site)
        buckets = list(_buckets(site.time_zone, first, last, interval))
        pipeline = self.client.pipeline(transaction=False)
        for period, bucket, _ in buckets:
            pipeline.hmget(names.views(period, bucket), _TOTALS)
            pipeline.pfcount(names.visitors(period, bucket))
        found = pipeline.execute()
        return [
            {"time": at, **_totals([int(n or 0) for n in found[n * _KEYS]], found[n * _KEYS + 1])}
            for n, (_, _, at) in enumerate(buckets)
        ]

    def pages(self, site: Site, first: date, last: date, limit: int) -> list[dict[str, Any]]:
        """The most viewed pages, most viewed first, then by bots, ties by path."""
        names = self._keys(site)
        numbers = [day_number(day) for day in days(first, last)]
        views: Counter[str] = Counter()
        bots: Counter[str] = Counter()
        seen_on: dict[str, list[int]] = {}
        for number, fields in zip(numbers, self._fields(site, numbers), strict=True):
            for path, count in _values(fields, PAGE.prefix).items():
                views[path] += count
                seen_on.setdefault(path, []).append(number)
            for field, count in _values(fields, BOT_PAGE.prefix).items():
                bots[BOT_PAGE.value(field)] += count
        top = sorted(views | bots, key=lambda path: (-views[path], -bots[path], path))[:limit]
        pipeline = self.client.pipeline(transaction=False)
        for path in top:
            pipeline.pfcount(*(names.page_visitors(n, path) for n in seen_on.get(path, numbers)))
        return [
            {"path": path, "pageviews": views[path], "visitors": visitors, "bots": bots[path]}
            for path, visitors in zip(top, pipeline.execute(), strict=True)
        ]

    def top(self, site: Site, first: date, last: date, dimension: str, limit: int) -> Top:
        """The most frequent values of a dimension, most frequent first, ties by value. Raises
        `UnknownDimension`."""
        fields: Counter[str] = Counter()
        for of_day in self._fields(site, [day_number(day) for day in days(first, last)]):
            fields.update(of_day)
        if dimension.startswith(PROPERTY_OF):
            return _top_of_property(fields, dimension.removeprefix(PROPERTY_OF), limit)
        if dimension not in DIMENSIONS:
            raise UnknownDimension(dimension)
        found = DIMENSIONS[dimension]
        counts = _values(fields, found.prefix)
        values = Counter({found.value(field): count for field, count in counts.items()})
        other = fields[OTHER + found.prefix]
        return Top(
            found.metric, _ranked(values, found.metric, limit), values.total() + other, other
        )

    def _fields(self, site: Site, numbers: Sequence[int]) -> list[dict[str, int]]:
        """All that is counted in each of these days."""
        names = self._keys(site)
        pipeline = self.client.pipeline(transaction=False)
        for number in numbers:
            pipeline.hgetall(names.views(keys.DAY, number))
        return [
            {field.decode(): int(count) for field, count in counts.items()}
            for counts in pipeline.execute()
        ]


def _values(fields: dict[str, int], prefix: str) -> dict[str, int]:
    return {field: count for field, count in fields.items() if field.startswith(prefix)}


def _top_of_property(fields: Counter[str], name: str, limit: int) -> Top:
    """Of one property; what its values do not add up to is of values that were not kept."""
    begin = f"{PROPERTY_VALUE.prefix}{name}\0"
    values = Counter({f.removeprefix(begin): n for f, n in _values(fields, begin).items()})
    total = max(fields[PROPERTY.prefix + name], values.total())
    metric = PROPERTY_VALUE.metric
    return Top(metric, _ranked(values, metric, limit), total, total - values.total())


def _ranked(values: Counter[str], metric: str, limit: int) -> list[dict[str, Any]]:
    top = sorted(values.items(), key=lambda item: (-item[1], item[0]))[:limit]
    return [{"value": value, metric: count} for value, count in top]


def _totals(sums: Sequence[int], visitors: int) -> dict[str, Any]:
    """Rates are null where there was no visit; `bounce_rate` in percent, `visit_duration` in
    seconds."""
    views, bots, visits, bounces, duration_ms = sums or [0] * len(_TOTALS)
    return {
        "pageviews": views,
        "visitors": visitors,
        "bots": bots,
        "visits": visits,
        "bounces": bounces,
        "bounce_rate": round(100 * bounces / visits, 1) if visits else None,
        "visit_duration": round(duration_ms / 1000 / visits, 1) if visits else None,
        "views_per_visit": round(views / visits, 2) if visits else None,
    }


def _buckets(time_zone: str, first: date, last: date, interval: str) -> list[tuple[str, int, str]]:
    """Period, bucket and beginning of each, as keys and people have them."""
    if interval == DAY:
        return [(keys.DAY, day_number(day), day.isoformat()) for day in days(first, last)]
    if interval == HOUR:
        hours = [hour for day in days(first, last) for hour in local_hours(day, time_zone)]
        return [(keys.HOUR, hour, _iso(hour, time_zone)) for hour in dict.fromkeys(hours)]
    end = day_start(date.fromordinal(last.toordinal() + 1), time_zone)
    minutes = range(day_start(first, time_zone) // 60, end // 60)
    return [(keys.MINUTE, minute, _iso(minute * 60, time_zone)) for minute in minutes]


def _iso(second: int, time_zone: str) -> str:
    return datetime.fromtimestamp(second, ZoneInfo(time_zone)).isoformat()
