"""What happened in minutes, hours and days of a site, by when it happened."""

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta
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
    PAGE,
)
from processing.reader import Reader
from processing.top_values import Top, field_of, top_of, values_of

MINUTE, HOUR, DAY = "minute", "hour", "day"
# The most days of which each can be asked for at once.
INTERVALS = {MINUTE: 2, HOUR: 92, DAY: 3_660}
_TOTALS = (ALL, ALL_BOTS, ALL_VISITS, ALL_BOUNCES, ALL_DURATION)
# Two keys of numbers a bucket.
_KEYS = 2


class HistoryStats(Reader):
    """Answers by the site's own days, `first` to `last`, both included."""

    def totals(
        self, site: Site, first: date, last: date, until: int | None = None
    ) -> dict[str, Any]:
        """Page views, visitors, bots and visits of all the days together; of the last one only
        what happened before `until`, Unix seconds, to the minute."""
        names = self._keys(site)
        buckets = _parts(site.time_zone, first, last, until)
        pipeline = self.client.pipeline(transaction=False)
        for period, bucket in buckets:
            pipeline.hmget(names.views(period, bucket), _TOTALS)
        if buckets:
            pipeline.pfcount(*(names.visitors(period, bucket) for period, bucket in buckets))
        *found, visitors = pipeline.execute() or [0]
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

    def timeseries_of(
        self, site: Site, first: date, last: date, interval: str, dimension: str, value: str
    ) -> list[dict[str, Any]]:
        """The same of one value of a dimension: `time`, and the dimension's metric. By the minute
        pages are counted and nothing else. Raises `UnknownDimension`."""
        field, metric = field_of(dimension, value)
        names = self._keys(site)
        buckets = list(_buckets(site.time_zone, first, last, interval))
        pipeline = self.client.pipeline(transaction=False)
        for period, bucket, _ in buckets:
            pipeline.hget(names.views(period, bucket), field)
        return [
            {"time": at, metric: int(count or 0)}
            for (_, _, at), count in zip(buckets, pipeline.execute(), strict=True)
        ]

    def pages(self, site: Site, first: date, last: date, limit: int) -> list[dict[str, Any]]:
        """The most viewed pages, most viewed first, then by bots, ties by path."""
        names = self._keys(site)
        numbers = [day_number(day) for day in days(first, last)]
        views: Counter[str] = Counter()
        bots: Counter[str] = Counter()
        seen_on: dict[str, list[int]] = {}
        for number, fields in zip(numbers, self._fields(site, numbers), strict=True):
            for path, count in values_of(fields, PAGE.prefix).items():
                views[path] += count
                seen_on.setdefault(path, []).append(number)
            for field, count in values_of(fields, BOT_PAGE.prefix).items():
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
        """The most frequent values of a dimension. Raises `UnknownDimension`."""
        return self.tops(site, first, last, [dimension], limit)[dimension]

    def tops(
        self, site: Site, first: date, last: date, dimensions: Sequence[str], limit: int
    ) -> dict[str, Top]:
        """The same of several, by dimension, for the price of one."""
        fields: Counter[str] = Counter()
        for of_day in self._fields(site, [day_number(day) for day in days(first, last)]):
            fields.update(of_day)
        return {dimension: top_of(fields, dimension, limit) for dimension in dimensions}

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


def _parts(time_zone: str, first: date, last: date, until: int | None) -> list[tuple[str, int]]:
    """Period and bucket of what the days up to `until` are made of: days, hours, minutes."""
    if until is None:
        return [(keys.DAY, day_number(day)) for day in days(first, last)]
    hours = local_hours(last, time_zone)
    ends = [*hours[1:], day_start(last + timedelta(days=1), time_zone)]
    spans = list(zip(hours, ends, strict=True))
    begun = [hour for hour, end in spans if hour < until < end]
    return [
        *((keys.DAY, day_number(day)) for day in days(first, last)[:-1]),
        *((keys.HOUR, hour) for hour, end in spans if end <= until),
        *((keys.MINUTE, m) for hour in begun for m in range(hour // 60, until // 60)),
    ]


def _buckets(time_zone: str, first: date, last: date, interval: str) -> list[tuple[str, int, str]]:
    """Period, bucket and beginning of each, as keys and people have them."""
    if interval == DAY:
        return [(keys.DAY, day_number(day), day.isoformat()) for day in days(first, last)]
    if interval == HOUR:
        hours = [hour for day in days(first, last) for hour in local_hours(day, time_zone)]
        return [(keys.HOUR, hour, _iso(hour, time_zone)) for hour in dict.fromkeys(hours)]
    end = day_start(last + timedelta(days=1), time_zone)
    minutes = range(day_start(first, time_zone) // 60, end // 60)
    return [(keys.MINUTE, minute, _iso(minute * 60, time_zone)) for minute in minutes]


def _iso(second: int, time_zone: str) -> str:
    return datetime.fromtimestamp(second, ZoneInfo(time_zone)).isoformat()
