"""Where a subject's numbers lie in Redis, and what they have to be."""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import redis

from bench.count import truth as told
from bench.count.truth import MINUTE_S, PAGE, SECOND, Truth
from processing import keys
from processing.calendar import day_number
from processing.dimensions import ALL, DIMENSIONS
from processing.live_counts import LIVE_KEPT_S

Hashes = Iterator[tuple[str, Mapping[str, int]]]
# A HyperLogLog's key, and how many visitors are in it.
Visitors = Iterator[tuple[str, int]]
# The characters of the dimensions that the truth has.
_TOLD = {SECOND, *(DIMENSIONS[name].prefix for name in told.DIMENSIONS)}
# A live minute that goes within so many seconds may be gone when it is looked at.
_GOING_S = 120


class Layout(Protocol):
    # Every hash whose name is like one of these is one of `hashes`.
    patterns: tuple[str, ...]

    def counted(self, client: redis.Redis) -> int:
        """How many events are in the numbers by now."""

    def has_begun(self, client: redis.Redis) -> bool:
        """Whether all processes count; of several, each has a partition."""

    def hashes(self, truth: Truth) -> Hashes:
        """Every hash that there has to be."""

    def visitors(self, truth: Truth) -> Visitors:
        """Every HyperLogLog that there has to be."""

    def is_told(self, field: str) -> bool:
        """Whether `hashes` says what a hash's field has to be."""


class Ours:
    """The product's, by minute, hour and day, in one shard. Visits, and what the truth does not
    tell page views apart by, are left to the tests and to `manage.py reconcile`."""

    patterns: tuple[str, ...] = ("*:m:*", "*:h:*", "*:d:*")

    def __init__(self, topic_id: str, partitions: int) -> None:
        self._partitions = partitions
        self._marker = keys.marker(0, topic_id)

    def counted(self, client: redis.Redis) -> int:
        offsets: Any = client.hvals(self._marker)
        return sum(int(offset) for offset in offsets)

    def has_begun(self, client: redis.Redis) -> bool:
        offsets: Any = client.hvals(self._marker)
        return sum(int(offset) > 0 for offset in offsets) == self._partitions

    def hashes(self, truth: Truth) -> Hashes:
        yield from self._minutes(truth)
        for (site, minute), counts in _live(truth):
            paths = sum(views for path, views in counts.items() if not path.startswith(SECOND))
            yield keys.SiteKeys(site, 1).live(minute), {**counts, ALL: paths}
        found: dict[str, dict[str, int]] = defaultdict(dict)
        for (site, hour, dimension), counts in truth.hours.items():
            self._put(found, site, keys.HOUR, hour, dimension, counts)
        for (site, start, dimension), counts in truth.days():
            self._put(found, site, keys.DAY, _day(start), dimension, counts)
        yield from found.items()

    def _minutes(self, truth: Truth) -> Hashes:
        found: dict[str, dict[str, int]] = defaultdict(dict)
        for (site, minute), paths in truth.minutes.items():
            self._put(found, site, keys.MINUTE, minute, PAGE, paths)
        yield from found.items()

    @staticmethod
    def _put(
        found: dict[str, dict[str, int]], site: str, period: str, bucket: int, name: str,
        counts: Mapping[str, int],
    ) -> None:  # fmt: skip
        fields = found[keys.SiteKeys(site, 1).views(period, bucket)]
        fields |= {DIMENSIONS[name].field(value): views for value, views in counts.items()}
        if name == PAGE:
            fields[ALL] = sum(counts.values())

    def is_told(self, field: str) -> bool:
        return field == ALL or field[0] in _TOLD

    def visitors(self, truth: Truth) -> Visitors:
        for (site, start), visitors in truth.visitors_by_minute.items():
            yield keys.SiteKeys(site, 1).visitors(keys.MINUTE, start // MINUTE_S), len(visitors)
        for (site, hour), visitors in truth.visitors.items():
            yield keys.SiteKeys(site, 1).visitors(keys.HOUR, hour), len(visitors)
        for (site, start), visitors in truth.visitors_by_day():
            yield keys.SiteKeys(site, 1).visitors(keys.DAY, _day(start)), len(visitors)
        for (site, start, path), visitors in truth.page_visitors.items():
            yield keys.SiteKeys(site, 1).page_visitors(_day(start), path), len(visitors)


class OursByMinute(Ours):
    """Only those of pages by minute."""

    patterns: tuple[str, ...] = ("*:m:*",)

    def hashes(self, truth: Truth) -> Hashes:
        yield from self._minutes(truth)

    def visitors(self, truth: Truth) -> Visitors:
        yield from ()


class Peers:
    """What the programs in `bench/peers` write: pages by minute."""

    patterns: tuple[str, ...] = ("views:*",)

    def counted(self, client: redis.Redis) -> int:
        found: Any = client.get("counted")
        return int(found or 0)

    def has_begun(self, client: redis.Redis) -> bool:
        return self.counted(client) > 0

    def is_told(self, field: str) -> bool:
        return True

    def hashes(self, truth: Truth) -> Hashes:
        for (site, minute), paths in truth.minutes.items():
            yield f"views:{site}:{minute}", paths

    def visitors(self, truth: Truth) -> Visitors:
        yield from ()


class EveryDimension(Peers):
    """The same, and whatever else can be counted of a page view by itself: every dimension by hour
    and day, visitors by minute, hour and day, visitors of each page by day, live minutes."""

    patterns: tuple[str, ...] = ("views:*", "by:*")

    def hashes(self, truth: Truth) -> Hashes:
        yield from super().hashes(truth)
        for (site, minute), counts in _live(truth):
            yield f"live:{site}:{minute}", counts
        for (site, start, dimension), counts in truth.hours.items():
            yield f"by:{dimension}:hour:{start}:{site}", counts
        for (site, start, dimension), counts in truth.days():
            yield f"by:{dimension}:day:{start}:{site}", counts

    def visitors(self, truth: Truth) -> Visitors:
        for (site, start), visitors in truth.visitors_by_minute.items():
            yield f"visitors:minute:{start}:{site}", len(visitors)
        for (site, start), visitors in truth.visitors.items():
            yield f"visitors:hour:{start}:{site}", len(visitors)
        for (site, start), visitors in truth.visitors_by_day():
            yield f"visitors:day:{start}:{site}", len(visitors)
        for (site, start, path), visitors in truth.page_visitors.items():
            yield f"visitors:day:{start}:{site}:{path}", len(visitors)


class NumberOnly(Peers):
    """Nothing but how many events were read."""

    patterns: tuple[str, ...] = ()

    def hashes(self, truth: Truth) -> Hashes:
        yield from ()


def _live(truth: Truth) -> Iterator[tuple[tuple[str, int], Mapping[str, int]]]:
    """By site and minute; only those that stay for a while."""
    oldest = time.time() + _GOING_S - LIVE_KEPT_S - MINUTE_S
    for place, counts in truth.live.items():
        if place[1] * MINUTE_S > oldest:
            yield place, counts


def _day(start: int) -> int:
    return day_number(datetime.fromtimestamp(start, UTC).date())
