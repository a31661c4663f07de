"""What the log says, counted with plain dictionaries and nothing of the product's.

The rules are SPEC.md's: §5 for duplicates; `tests/reference.py` has those of the numbers.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from tests import reference
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
    # Site and bucket → field → number.
    numbers: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    # Whether the visits are among them: it is known which of an event's copies was counted.
    knows_visits: bool = True
    # What Redis says of copies cannot be: none of them was counted, or more than one.
    contradictions: list[list[Place]] = field(default_factory=list)
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


def recount(
    records: list[Record],
    partitions: int,
    garbage: set[bytes],
    now_s: int,
    noted: Callable[[str, Place], bool] | None,
) -> Recount:
    """`garbage` is what was written to be unreadable; `now_s` decides what is kept. `noted` tells
    whether Redis says of a site's event that it was a duplicate; None: those notes are of another
    count."""
    found = Recount(dict.fromkeys(range(partitions), 0), knows_visits=noted is not None)
    for record in records:
        found.ends[record.partition] = max(found.ends[record.partition], record.offset + 1)
        if record.value in garbage:
            found.invalid[record.place] = record.value
            found.by_partition[record.partition, "invalid"] += 1
            found.ledger["invalid"] += 1
        else:
            found.events[record.place] = json.loads(record.value)
    groups = _same_events(found.events)
    for copies in groups:
        _count(found, copies, now_s)
    _count_numbers(found, groups, now_s, noted)
    return found


def _count_numbers(
    found: Recount,
    groups: list[list[dict[str, Any]]],
    now_s: int,
    noted: Callable[[str, Place], bool] | None,
) -> None:
    sorted_out: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for copies in groups:
        event = copies[0]
        if noted is not None:
            counted = [copy for copy in copies if not noted(copy["site"], copy["place"])]
            if len(counted) != 1:
                found.contradictions.append([copy["place"] for copy in copies])
            event = counted[0] if counted else event
        category = _category(event, SITES[event["site"]][1])
        sorted_out[event["site"], category].append(event)
    for site, (time_zone, _) in SITES.items():
        # A visitor's events come through one partition, in this order.
        counted = sorted(sorted_out[site, "counted"], key=lambda event: event["place"])
        numbers = reference.count(counted, sorted_out[site, "bot"], time_zone)
        for bucket, counts in numbers.items():
            if _is_kept(bucket, now_s):
                found.numbers[site, bucket] = counts


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
    if reference.is_engagement(event):
        return
    for bucket in reference.buckets(event["ts"], time_zone):
        if _is_kept(bucket, now_s):
            _count_visitors(found, (event["site"], bucket), copies)
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


def _is_kept(bucket: str, now_s: int) -> bool:
    """Of those that are dropped while the log is not: minutes and hours."""
    kind, number = bucket.split(":")
    if kind == "m":
        return (int(number) + 1) * 60 + _MINUTES_KEPT_S > now_s
    return kind == "d" or int(number) + 3_600 + _HOURS_KEPT_S > now_s


def _count_visitors(found: Recount, key: tuple[str, str], copies: list[dict[str, Any]]) -> None:
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
