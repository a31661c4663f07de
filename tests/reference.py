"""What SPEC.md says is counted, written down as plainly as it can be: events in, numbers out.

Events are the messages' JSON, as dictionaries, in the order of the log. Nothing of the product is
used, nothing is updated as it goes on: visits are lists of events, counted in the end.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

Event = dict[str, Any]
# "m:…", "h:…" or "d:…", as in Redis → field → number
Numbers = defaultdict[str, Counter[str]]

HALF_AN_HOUR_MS, HOUR_MS = 1_800_000, 3_600_000
_BY_PAGE_VIEW = {
    "path": "", "hostname": "h", "referrer": "r", "source": "S", "channel": "c", "utm_source": "s",
    "utm_medium": "m", "utm_campaign": "a", "utm_term": "t", "utm_content": "x", "country": "C",
    "region": "R", "browser": "b", "os": "o", "device": "d", "screen": "z", "language": "l",
    "screen_class": "w", "time_zone": "T",
}  # fmt: skip
# Fields that tell of visits.
OF_VISITS = ("*v", "*o", "*d", "<", ">")


def count(counted: Iterable[Event], bots: Iterable[Event], time_zone: str) -> Numbers:
    """All numbers of a site, of events that were counted and of those that are bots'."""
    numbers: Numbers = defaultdict(Counter)
    by_visitor: defaultdict[str, list[Event]] = defaultdict(list)
    for event in counted:
        by_visitor[event["visitor"]].append(event)
        if is_engagement(event):
            continue
        for bucket in buckets(event["ts"], time_zone):
            fields = list(_fields(event))
            if bucket.startswith("m:"):
                fields = [field for field in fields if field[0] in "*/"]
            numbers[bucket].update(fields)
    for event in bots:
        if is_page_view(event):
            for bucket in buckets(event["ts"], time_zone):
                numbers[bucket]["*b"] += 1
                if not bucket.startswith("m:"):
                    numbers[bucket]["#" + event["path"]] += 1
                    numbers[bucket]["?" + event["bot"]] += 1
    for events in by_visitor.values():
        for visit in visits(events):
            _count_visit(numbers, visit, time_zone)
    return numbers


def is_page_view(event: Event) -> bool:
    return bool(event.get("name", "pageview") == "pageview")


def is_engagement(event: Event) -> bool:
    return event.get("name") == "engagement"


def buckets(ts: int, time_zone: str) -> list[str]:
    """The minute, hour and day of a moment."""
    local = datetime.fromtimestamp(ts / 1000, UTC).astimezone(ZoneInfo(time_zone))
    hour = ts // 1000 - local.minute * 60 - local.second
    return [f"m:{ts // 60_000}", f"h:{hour}", f"d:{local:%Y%m%d}"]


def visits(events: list[Event]) -> list[list[Event]]:
    """The events of one visitor, visit by visit: each goes on with one that is remembered in its
    hour of arrival, the one before or the one after, or begins one."""
    found: list[list[Event]] = []
    remembered: dict[int, list[Event]] = {}
    for event in events:
        hour = event["received"] // HOUR_MS
        for near in (hour, hour - 1, hour + 1):
            visit = remembered.get(near)
            if visit is not None and _goes_on(visit, event["ts"]):
                del remembered[near]
                break
        else:
            if is_engagement(event):
                continue
            visit = []
            found.append(visit)
        visit.append(event)
        remembered[hour] = visit
    return found


def _goes_on(visit: list[Event], ts: int) -> bool:
    times = [event["ts"] for event in visit]
    return bool(min(times) - HALF_AN_HOUR_MS <= ts <= max(times) + HALF_AN_HOUR_MS)


def _fields(event: Event) -> Iterator[str]:
    if is_page_view(event):
        yield "*"
        for name, prefix in _BY_PAGE_VIEW.items():
            if event.get(name):
                yield prefix + event[name]
        for name, prefix in (("browser", "B"), ("os", "O")):
            if event.get(name) and event.get(f"{name}_version"):
                yield f"{prefix}{event[name]} {event[f'{name}_version']}"
    else:
        yield "e" + event["name"]
    for name, value in (event.get("props") or {}).items():
        yield "k" + name
        yield f"p{name}\0{value if isinstance(value, str) else json.dumps(value)}"


def _count_visit(numbers: Numbers, visit: list[Event], time_zone: str) -> None:
    views = [event for event in visit if is_page_view(event)]
    times = [event["ts"] for event in visit]
    others = [event for event in visit if not is_engagement(event)]
    fields = {"*v": 1, "*d": max(times) - min(times), "*o": int(len(others) == len(views) == 1)}
    pages = {f"<{views[0]['path']}": 1, f">{_exit(visit)}": 1} if views else {}
    for bucket in buckets(visit[0]["ts"], time_zone):
        numbers[bucket].update(fields)
        if not bucket.startswith("m:"):
            numbers[bucket].update(pages)


def _exit(visit: list[Event]) -> str:
    """The last page view that, as it was read, was the latest event of the visit."""
    path = ""
    for n, event in enumerate(visit):
        if is_page_view(event):
            latest = max((other["ts"] for other in visit[:n]), default=0)
            if not path or event["ts"] >= latest:
                path = event["path"]
    return path


def without_zeros(counts: Counter[str]) -> dict[str, int]:
    return {name: number for name, number in counts.items() if number}
