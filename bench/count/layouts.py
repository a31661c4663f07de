"""Where a subject's numbers lie in Redis, and what they have to be."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import redis

from bench.count.truth import PAGE, Truth
from processing import keys
from processing.calendar import day_number

Hashes = Iterator[tuple[str, Mapping[str, int]]]
# A HyperLogLog's key, and how many visitors are in it.
Visitors = Iterator[tuple[str, int]]


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


class Ours:
    """The product's, by minute, hour and day, in one shard."""

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
        for (site, minute), paths in truth.minutes.items():
            yield keys.SiteKeys(site, 1).views(keys.MINUTE, minute), _with_total(paths)
        for (site, hour, dimension), counts in truth.hours.items():
            if dimension == PAGE:
                yield keys.SiteKeys(site, 1).views(keys.HOUR, hour), _with_total(counts)
        for (site, start, dimension), counts in truth.days():
            if dimension == PAGE:
                yield keys.SiteKeys(site, 1).views(keys.DAY, _day(start)), _with_total(counts)

    def visitors(self, truth: Truth) -> Visitors:
        for (site, hour), visitors in truth.visitors.items():
            yield keys.SiteKeys(site, 1).visitors(keys.HOUR, hour), len(visitors)
        for (site, start), visitors in truth.visitors_by_day():
            yield keys.SiteKeys(site, 1).visitors(keys.DAY, _day(start)), len(visitors)


class Peers:
    """What the programs in `bench/peers` write: pages by minute."""

    patterns: tuple[str, ...] = ("views:*",)

    def counted(self, client: redis.Redis) -> int:
        found: Any = client.get("counted")
        return int(found or 0)

    def has_begun(self, client: redis.Redis) -> bool:
        return self.counted(client) > 0

    def hashes(self, truth: Truth) -> Hashes:
        for (site, minute), paths in truth.minutes.items():
            yield f"views:{site}:{minute}", paths

    def visitors(self, truth: Truth) -> Visitors:
        yield from ()


class EveryDimension(Peers):
    """The same, and every dimension and the visitors by hour and day."""

    patterns: tuple[str, ...] = ("views:*", "by:*")

    def hashes(self, truth: Truth) -> Hashes:
        yield from super().hashes(truth)
        for (site, start, dimension), counts in truth.hours.items():
            yield f"by:{dimension}:hour:{start}:{site}", counts
        for (site, start, dimension), counts in truth.days():
            yield f"by:{dimension}:day:{start}:{site}", counts

    def visitors(self, truth: Truth) -> Visitors:
        for (site, start), visitors in truth.visitors.items():
            yield f"visitors:hour:{start}:{site}", len(visitors)
        for (site, start), visitors in truth.visitors_by_day():
            yield f"visitors:day:{start}:{site}", len(visitors)


class NumberOnly(Peers):
    """Nothing but how many events were read."""

    patterns: tuple[str, ...] = ()

    def hashes(self, truth: Truth) -> Hashes:
        yield from ()


def _with_total(paths: Mapping[str, int]) -> Mapping[str, int]:
    return {**paths, keys.TOTAL: sum(paths.values())}


def _day(start: int) -> int:
    return day_number(datetime.fromtimestamp(start, UTC).date())
