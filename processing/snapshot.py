"""What Redis says at one moment, to be compared with a recount.

Counting goes on meanwhile. Each day of a site is therefore read in one transaction together
with the markers of its shard: its numbers are those of exactly the events before them.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

from processing import keys
from processing.calendar import day_number, day_start
from processing.counters import RedisClient
from processing.dimensions import ALL, is_bookkeeping
from processing.duplicate_notes import Runs, is_noted, read_runs
from processing.history import Event
from processing.live_counts import LIVE_KEPT_S
from processing.recount import Number, SiteDay, local_hour
from processing.rules import Retention, SiteRules

# (topic id, partition) → the next offset to count
Markers = dict[tuple[str, int], int]

_NAME = re.compile(
    r"\{s\d+\}:(?P<site>.+?):"
    r"((?P<period>[mhd]):(?P<bucket>\d{1,12})(?P<visitors>:v(:(?P<page>.+))?)?"
    r"|(?P<arrival>ledger|live):(?P<of_arrival>\d{1,12}))",
    re.DOTALL,
)
# Numbers that Redis drops within this time are left out: clocks differ.
_ABOUT_TO_GO_S = 300


@dataclass(frozen=True)
class Selection:
    """Which numbers are compared: of one site or of all, of some of the site's own days,
    and none that Redis has dropped, or soon will have, at `now_s`."""

    rules: Callable[[str], SiteRules]
    retention: Retention
    now_s: int
    site: str | None = None
    first: date = date.min
    last: date = date.max

    def has(self, day: SiteDay, number: Number) -> bool:
        return (
            self.site in (None, day.site)
            and day_number(self.first) <= day.day <= day_number(self.last)
            and self._is_kept(day, number)
        )

    def day_of(self, site: str, number: Number) -> SiteDay:
        """The day that a number belongs to."""
        if number.period in (keys.DAY, keys.LEDGER):
            return SiteDay(site, number.bucket)
        second = number.bucket * (60 if number.period in (keys.MINUTE, keys.LIVE) else 1)
        return SiteDay(site, local_hour(self.rules(site).time_zone, second // 900)[0])

    def _is_kept(self, day: SiteDay, number: Number) -> bool:
        if number.period == keys.MINUTE:
            end = (number.bucket + 1) * 60 + self.retention.minute
        elif number.period == keys.LIVE:
            end = (number.bucket + 1) * 60 + LIVE_KEPT_S
        elif number.period == keys.HOUR:
            end = number.bucket + 3_600 + self.retention.hour
        else:
            rules = self.rules(day.site)
            if rules.retention_days is None:
                return True
            end = _day_end(day.day, rules.time_zone) + rules.retention_days * 86_400
        return end > self.now_s + _ABOUT_TO_GO_S


@lru_cache(maxsize=4_096)
def _day_end(day: int, time_zone: str) -> int:
    this = date(day // 10_000, day // 100 % 100, day % 100)
    return day_start(this + timedelta(days=1), time_zone)


@dataclass
class DayNumbers:
    """The numbers of one day of one site that were asked for, and the markers with them."""

    markers: Markers
    asked: frozenset[Number]
    numbers: dict[Number, int]


@dataclass
class ShardBooks:
    """One shard's markers and ledger, of one moment."""

    markers: Markers
    # (topic id, partition, category) → events
    ledger: dict[tuple[str, int, str], int] = field(default_factory=dict)
    duplicates: dict[tuple[str, int], Runs] = field(default_factory=dict)


class Snapshot:
    """Reads all of `selection` at once; a `Scope` for the recount to be compared with.

    `logs` are the topic ids that may have been counted. Raises `redis.RedisError`.
    """

    def __init__(
        self, client: RedisClient, shards: int, logs: Sequence[str], selection: Selection
    ) -> None:
        self._client = client
        self._shards = shards
        self._logs = logs
        self._selection = selection
        # The order matters: what was counted before the names were listed is listed, and
        # the books reach at least as far as every number.
        self._before = [self._books(shard).markers for shard in range(shards)]
        self.days = {day: self._read(day, names) for day, names in self._listed_names().items()}
        self.books = [self._noted(shard, self._books(shard)) for shard in range(shards)]
        self._limits: dict[tuple[SiteDay, Number], Markers] = {}

    def ends(self) -> Markers:
        """How far the recount has to read."""
        ends: Markers = {}
        for books in self.books:
            for place, marker in books.markers.items():
                ends[place] = max(marker, ends.get(place, 0))
        return ends

    # --- The recount's scope ----------------------------------------------------------

    def holds(self, day: SiteDay, number: Number, event: Event) -> bool:
        limits = self._limits.get((day, number))
        if limits is None:
            limits = self._limits[day, number] = self._limits_of(day, number)
        return event.offset < limits.get(event[:2], 0)

    def in_ledger(self, shard: int, event: Event) -> bool:
        return event.offset < self.books[shard].markers.get(event[:2], 0)

    def noted_duplicate(self, shard: int, event: Event) -> bool:
        return is_noted(self.books[shard].duplicates.get(event[:2], []), event.offset)

    def _limits_of(self, day: SiteDay, number: Number) -> Markers:
        if not self._selection.has(day, number):
            return {}
        found = self.days.get(day)
        if found is not None and number in found.asked:
            return found.markers
        # It was not listed: it did not exist, rightly if all of it was counted later.
        return self._before[keys.shard_of(day.site, self._shards)]

    # --- Reading ----------------------------------------------------------------------

    def _listed_names(self) -> dict[SiteDay, dict[Number, str]]:
        listed: defaultdict[SiteDay, dict[Number, str]] = defaultdict(dict)
        for raw in self._client.scan_iter(match="{s*}:*:*", count=5_000):
            name = raw.decode()
            parts = _NAME.fullmatch(name)
            if parts is None:
                continue
            number = Number(
                parts["period"] or parts["arrival"],
                int(parts["bucket"] or parts["of_arrival"]),
                parts["page"] or ALL,
                parts["visitors"] is not None,
            )
            try:
                day = self._selection.day_of(parts["site"], number)
                selected = self._selection.has(day, number)
            except (ValueError, OverflowError, OSError):
                continue  # no minute, hour or day that anyone could ask for
            if selected:
                listed[day][number] = name
        return dict(listed)

    def _read(self, day: SiteDay, names: dict[Number, str]) -> DayNumbers:
        pipeline = self._client.pipeline(transaction=True)
        self._ask_markers(pipeline, keys.shard_of(day.site, self._shards))
        for number, name in names.items():
            if number.visitors:
                pipeline.pfcount(name)
            else:
                pipeline.hgetall(name)
        answers = pipeline.execute()
        numbers: dict[Number, int] = {}
        for number, answer in zip(names, answers[len(self._logs) :], strict=True):
            if number.visitors:
                numbers[number] = answer
            else:
                for name, count in answer.items():
                    if not is_bookkeeping(name.decode()):
                        numbers[number._replace(field=name.decode())] = int(count)
        return DayNumbers(self._markers(answers), frozenset(names), numbers)

    def _books(self, shard: int) -> ShardBooks:
        pipeline = self._client.pipeline(transaction=True)
        self._ask_markers(pipeline, shard)
        for log in self._logs:
            pipeline.hgetall(keys.ledger(shard, log))
        answers = pipeline.execute()
        books = ShardBooks(self._markers(answers))
        for log, ledger in zip(self._logs, answers[len(self._logs) :], strict=True):
            for name, events in ledger.items():
                partition, _, category = name.decode().partition(":")
                books.ledger[log, int(partition), category] = int(events)
        return books

    def _noted(self, shard: int, books: ShardBooks) -> ShardBooks:
        """The same with the duplicates' places, at least those before its markers."""
        for log, partition in books.markers:
            members = self._client.zrange(keys.duplicates(shard, log, partition), 0, -1)
            books.duplicates[log, partition] = read_runs(members)
        return books

    def _ask_markers(self, pipeline: Any, shard: int) -> None:
        for log in self._logs:
            pipeline.hgetall(keys.marker(shard, log))

    def _markers(self, answers: list[Any]) -> Markers:
        return {
            (log, int(partition)): int(marker)
            for log, markers in zip(self._logs, answers, strict=False)
            for partition, marker in markers.items()
        }
