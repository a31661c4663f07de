"""What the log says, counted with plain dictionaries and nothing of the product's.

The rules are SPEC.md's: §2 and §4 for the buckets, §5 for duplicates.
"""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from tests.chaos.traffic import SITES

Place = tuple[int, int]
_WINDOW_MS = 600_000
_MINUTES_KEPT_S, _HOURS_KEPT_S = 48 * 3_600, 90 * 86_400


@dataclass(frozen=True)
class Record:
    """One message of the log."""

    partition: int
    offset: int
    value: bytes

    @property
    def place(self) -> Place:
        return self.partition, self.offset


@dataclass
class Visitors:
    """Who certainly was there, and who perhaps too: of an event's copies one was counted."""

    certain: set[str] = field(default_factory=set)
    possible: set[str] = field(default_factory=set)


@dataclass
class Recount:
    """What should be in Redis. Buckets are named `m:…`, `h:…`, `d:…`, `live:…`."""

    ends: dict[int, int]
    ledger: Counter[str] = field(default_factory=Counter)
    # (partition, category), where the partition alone decides.
    by_partition: Counter[tuple[int, str]] = field(default_factory=Counter)
    views: dict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    visitors: dict[tuple[str, str], Visitors] = field(default_factory=lambda: defaultdict(Visitors))
    # Site and minute of arrival → the least and the most that may be counted there.
    arrivals: dict[tuple[str, int], list[int]] = field(
        default_factory=lambda: defaultdict(lambda: [0, 0])
    )
    # Site, its day of arrival and category → the least and the most events.
    site_days: dict[tuple[str, str, str], list[int]] = field(
        default_factory=lambda: defaultdict(lambda: [0, 0])
    )
    invalid: dict[Place, bytes] = field(default_factory=dict)
    events: dict[Place, dict[str, Any]] = field(default_factory=dict)


def recount(records: list[Record], partitions: int, garbage: set[bytes], now_s: int) -> Recount:
    """`garbage` is what was written to be unreadable; `now_s` decides what is kept."""
    found = Recount(dict.fromkeys(range(partitions), 0))
    for record in records:
        found.ends[record.partition] = max(found.ends[record.partition], record.offset + 1)
        if record.value in garbage:
            found.invalid[record.place] = record.value
            found.by_partition[record.partition, "invalid"] += 1
            found.ledger["invalid"] += 1
        else:
            found.events[record.place] = json.loads(record.value)
    for copies in _same_events(found.events):
        _count(found, copies, now_s)
    return found


def _same_events(events: dict[Place, dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Each event with its copies, in the order of their arrival. A run is shorter than the
    window in which ids are remembered, so every copy is a duplicate."""
    groups: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for place, event in events.items():
        key = (event["site"], event["id"]) if event.get("retryable") else place
        groups[key].append({**event, "place": place})
    for copies in groups.values():
        copies.sort(key=lambda event: event["received"])
        assert copies[-1]["received"] - copies[0]["received"] < _WINDOW_MS, copies
    return list(groups.values())


def _count(found: Recount, copies: list[dict[str, Any]], now_s: int) -> None:
    event = copies[0]
    time_zone, kept_days = SITES[event["site"]]
    category = _category(event, kept_days)
    found.ledger["duplicate"] += len(copies) - 1
    found.ledger[category] += 1
    _count_site_days(found, copies, category, time_zone)
    if category == "bot":
        found.by_partition[event["place"][0], "bot"] += 1
    if category != "counted":
        return
    for bucket in _buckets(event["ts"], time_zone, now_s):
        _count_bucket(found, (event["site"], bucket), copies)
    _count_arrival(found, copies)


def _category(event: dict[str, Any], kept_days: int | None) -> str:
    if event.get("bot"):
        return "bot"
    if kept_days is not None and event["received"] - event["ts"] > kept_days * 86_400_000:
        return "late"
    return "counted"


def _count_site_days(
    found: Recount, copies: list[dict[str, Any]], category: str, time_zone: str
) -> None:
    """Which of the copies was counted is known where all arrived on one day."""
    days = Counter(_day(copy["received"], time_zone) for copy in copies)
    for day, events in days.items():
        first = found.site_days[copies[0]["site"], day, category]
        first[0] += len(days) == 1
        first[1] += 1
        others = found.site_days[copies[0]["site"], day, "duplicate"]
        others[0] += events - 1
        others[1] += events - (len(days) == 1)


def _day(ms: int, time_zone: str) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, ZoneInfo(time_zone)):%Y%m%d}"


def _buckets(ts: int, time_zone: str, now_s: int) -> list[str]:
    """Those of an event's time that are still kept."""
    local = datetime.fromtimestamp(ts / 1000, UTC).astimezone(ZoneInfo(time_zone))
    minute = ts // 60_000
    hour = ts // 1000 - local.minute * 60 - local.second
    buckets = [f"d:{local:%Y%m%d}"]
    if (minute + 1) * 60 + _MINUTES_KEPT_S > now_s:
        buckets.append(f"m:{minute}")
    if hour + 3_600 + _HOURS_KEPT_S > now_s:
        buckets.append(f"h:{hour}")
    return buckets


def _count_bucket(found: Recount, key: tuple[str, str], copies: list[dict[str, Any]]) -> None:
    event = copies[0]
    if event.get("name", "pageview") == "pageview":
        found.views[key].update((event["path"], "*"))
    visitors = {copy["visitor"] for copy in copies}
    found.visitors[key].possible |= visitors
    if len(visitors) == 1:
        found.visitors[key].certain |= visitors


def _count_arrival(found: Recount, copies: list[dict[str, Any]]) -> None:
    if copies[0].get("name", "pageview") != "pageview":
        return
    minutes = {copy["received"] // 60_000 for copy in copies}
    for minute in minutes:
        least_most = found.arrivals[copies[0]["site"], minute]
        least_most[0] += len(minutes) == 1
        least_most[1] += 1
