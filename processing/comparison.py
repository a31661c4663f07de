"""Compares the numbers of one day of a site, as Redis and a recount have them. Pure.

Where a dimension has more values than a bucket keeps, SPEC.md §20 says what has to be true: the
sum is exact, and each value has at most what it truly has and at least that less a bound.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from processing import keys
from processing.dimensions import (
    ALL,
    ALL_BOTS,
    ALL_BOUNCES,
    ALL_DURATION,
    ALL_VISITS,
    BOT_PAGE,
    BOT_REASON,
    DIMENSIONS,
    OTHER,
    PAGE,
    PAGEVIEWS,
    PROPERTY_VALUE,
    SECOND,
    prefix_of,
)
from processing.recount import Number, SiteDay

_PERIODS = {
    keys.MINUTE: "minute",
    keys.HOUR: "hour",
    keys.DAY: "day",
    keys.LEDGER: "ledger of the day",
    keys.LIVE: "live minute",
}
_TOTALS = {
    ALL: "page views",
    ALL_BOTS: "page views of bots",
    ALL_VISITS: "visits",
    ALL_BOUNCES: "bounces",
    ALL_DURATION: "milliseconds of visits",
}
_BY_PREFIX = {dimension.prefix: dimension for dimension in DIMENSIONS.values()}
# (period, bucket, character of a dimension)
_Group = tuple[str, int, str]


class Difference(NamedTuple):
    """A number, of which Redis and the recount should say the same, or Redis at most `slack`
    less."""

    place: str
    redis: int
    recount: int
    slack: int = 0

    @property
    def agrees(self) -> bool:
        return 0 <= self.recount - self.redis <= self.slack

    def __str__(self) -> str:
        return f"{self.place}: Redis {self.redis:,}, recount {self.recount:,}"


@dataclass
class Comparison:
    """`added`: by dimension, named by its character, all that was ever added to its values, which
    bounds what a value may lack (SPEC.md §20)."""

    day: SiteDay
    time_zone: str
    redis: Mapping[Number, int]
    recount: Mapping[Number, int]
    added: Counter[Number]
    most_values: int

    def numbers(self) -> Iterator[Difference]:
        """Each number that either of them has."""
        wide = self._wide()
        sums: defaultdict[_Group, Counter[str]] = defaultdict(Counter)
        for number in sorted(self.redis.keys() | self.recount.keys()):
            redis, recount = self.redis.get(number, 0), self.recount.get(number, 0)
            group = _group(number)
            if group not in wide:
                yield Difference(self._place(number), redis, recount)
                continue
            if not number.visitors:
                sums[group].update(redis=redis, recount=recount)
            if not number.field.startswith(OTHER):
                yield Difference(self._place(number), redis, recount, self._slack(number))
        for (period, bucket, prefix), both in sums.items():
            rest = self._place(Number(period, bucket, OTHER + prefix, visitors=False))
            yield Difference(f"{rest} and all values", both["redis"], both["recount"])

    def _wide(self) -> set[_Group]:
        """The dimensions that had more values than are kept."""
        counted = (number for number in self.recount if not number.visitors)
        values = Counter(group for number in counted if (group := _group(number)))
        return {group for group, count in values.items() if count > self.most_values}

    def _slack(self, number: Number) -> int:
        """How much less than it truly has a value of a wide dimension may have."""
        if number.visitors:
            return self.recount.get(number, 0)
        prefix = prefix_of(number.field) or ""
        return self.added[number._replace(field=prefix)] // (self.most_values + 1)

    def _place(self, number: Number) -> str:
        when = f"{_PERIODS[number.period]} {self._shown(number)}"
        if number.period == keys.LEDGER:
            return f"{self.day.site}, {when}, {number.field}"
        which, what = _subject(number)
        return f"{self.day.site}, {which}, {when}, {what}"

    def _shown(self, number: Number) -> str:
        """The bucket on the site's clock."""
        if number.period in (keys.DAY, keys.LEDGER):
            text = str(number.bucket)
            return f"{text[:4]}-{text[4:6]}-{text[6:]}"
        second = number.bucket * (60 if number.period in (keys.MINUTE, keys.LIVE) else 1)
        moment = datetime.fromtimestamp(second, ZoneInfo(self.time_zone))
        return moment.isoformat(" ", timespec="minutes")


def _group(number: Number) -> _Group | None:
    """The dimension of which a number counts a value, or all others."""
    if number.period == keys.LEDGER:
        return None
    name = number.field
    prefix = name[1:] if name.startswith(OTHER) else prefix_of(name)
    return (number.period, number.bucket, prefix) if prefix else None


def _subject(number: Number) -> tuple[str, str]:
    """Of which pages, or what else, what is counted."""
    name = number.field
    if name.startswith(SECOND):
        return f"all pages in second {name.removeprefix(SECOND)}", _TOTALS[ALL]
    if name in _TOTALS:
        return "all pages", "visitors" if number.visitors else _TOTALS[name]
    if name.startswith(OTHER):
        return _of_dimension(name[1:], "(other)")
    if name.startswith(PAGE.prefix):
        return name, "visitors" if number.visitors else _TOTALS[ALL]
    return _of_dimension(name[0], name[1:])


def _of_dimension(prefix: str, value: str) -> tuple[str, str]:
    if prefix == BOT_PAGE.prefix:
        return value, _TOTALS[ALL_BOTS]
    if prefix == BOT_REASON.prefix:
        return f"{BOT_REASON.name} {value}", _TOTALS[ALL_BOTS]
    if prefix == PROPERTY_VALUE.prefix:
        return f"prop {value.replace(chr(0), ' = ')}", PROPERTY_VALUE.metric
    dimension = _BY_PREFIX.get(prefix)
    if dimension is None:
        return f"field {prefix}{value}", "events"
    metric = _TOTALS[ALL] if dimension.metric == PAGEVIEWS else dimension.metric
    return f"{dimension.name} {value}".rstrip(), metric
