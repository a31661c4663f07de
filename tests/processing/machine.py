"""Counts the partitions of a log into a store without a broker, and breaks on the way."""

import time
from dataclasses import dataclass, field
from typing import Any

from ingest.models import Site
from ingest.pageview import PageView
from processing.aggregation import Aggregator, Portion
from processing.counters import APPLIED, MOVED, Counters, Range
from processing.duplicates import DuplicateWindows
from processing.rules import Retention, SiteRules

# Redis drops by its own clock what is too old.
NOW_S = int(time.time()) // 3_600 * 3_600
MINUTE_S, HOUR_S, DAY_S = 48 * 3_600, 90 * 86_400, 400 * 86_400
WINDOWS = DuplicateWindows(recent=600_000, backfill=30 * 86_400_000)
ZONE = "Europe/Berlin"
SITE = Site(public_id="a.example", time_zone=ZONE, retention_days=400)
# Bots that count as people.
PEOPLE = frozenset({"internal"})
RULES = SiteRules(ZONE, 400, PEOPLE)
PARTITIONS = 2


@dataclass
class Machine:
    """Counts the partitions of a log into a store, and breaks."""

    client: Any
    logs: list[list[PageView]]
    most_values: int = 1_000
    saved: dict[bytes, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.client.flushall()
        self.counters = Counters(self.client, 1)

    def play(self, steps: list[tuple[str, int, int]]) -> None:
        for step, events, partition in steps:
            if step == "save":
                self.saved = {key: self.client.dump(key) for key in self.client.scan_iter()}
            elif step == "turn back":
                self.client.flushall()
                for key, value in self.saved.items():
                    self.client.restore(key, 0, value)
            else:
                self.count(step, events, partition)
        for partition, log in enumerate(self.logs):
            self.count("count", len(log), partition)

    def count(self, step: str, events: int, partition: int) -> None:
        start = self.counters.markers("t", PARTITIONS)[0][partition]
        batch = self.logs[partition][start : start + events]
        if not batch:
            return
        worker = aggregator(self.most_values)
        known = self.counters.look_up(worker.lookups(batch))
        deltas = worker.aggregate([Portion(partition, batch)], known, NOW_S)
        if step == "kill":
            return
        ranges = [Range(partition, start, start + len(batch))]
        assert self.counters.apply(0, "t", ranges, deltas).result == APPLIED
        if step == "repeat":
            # A zombie that applies the same batch again changes nothing.
            assert self.counters.apply(0, "t", ranges, deltas).result == MOVED


def aggregator(most_values: int = 1_000) -> Aggregator:
    return Aggregator(0, 1, lambda _: RULES, Retention(MINUTE_S, HOUR_S), WINDOWS, most_values)


def split(log: list[PageView]) -> list[list[PageView]]:
    """A visitor's events all lie in one partition."""
    return [[e for e in log if int(e.visitor[1]) % PARTITIONS == p] for p in range(PARTITIONS)]


def numbers(client: Any, bucket: str) -> dict[str, int]:
    found = client.hgetall(f"{{s00}}:{SITE.public_id}:{bucket}")
    return {name.decode(): int(number) for name, number in found.items() if int(number)}
