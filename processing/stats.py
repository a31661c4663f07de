"""The live store's read side, the only one: pages, websockets and the API all ask here."""

import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import msgspec
from django.conf import settings

from ingest.models import Site
from processing import keys
from processing.aggregation import (
    CATEGORIES,
    EXPIRED,
    HOLES,
    INVALID,
    LIVE_MINUTES,
    NOW_MS,
)
from processing.calendar import day_number, days, today
from processing.counters import RedisClient, connect

# A consumer reports at least once a second; after this silence its lag is unknown.
_REPORT_VALID_MS = 5_000
_LIVE_AGE_MS = 5_000
# An unreadable message belongs to no site.
SITE_CATEGORIES = tuple(category for category in CATEGORIES if category != INVALID)
_NOTHING_KNOWN = {"through": None, "age_seconds": None, "lag": None, "state": "unknown"}


class Stats:
    """Answers from Redis. Thread-safe; raises `redis.RedisError` when Redis is away.

    Days are the site's own; `now_ms` is the present in Unix milliseconds.
    """

    def __init__(self, client: RedisClient, shards: int, topic: str) -> None:
        self.client = client
        self.shards = shards
        self.topic = topic

    @classmethod
    def from_settings(cls) -> "Stats":
        return cls(connect(settings.REDIS_URL), settings.REDIS_SHARDS, settings.KAFKA_TOPIC)

    def totals(self, site: Site, first: date, last: date) -> dict[str, int]:
        """Page views, visitors and bots of the days `first` to `last`, both included."""
        names = self._keys(site)
        numbers = [day_number(day) for day in days(first, last)]
        pipeline = self.client.pipeline(transaction=False)
        for number in numbers:
            pipeline.hget(names.views(keys.DAY, number), keys.TOTAL)
        pipeline.pfcount(*(names.visitors(keys.DAY, number) for number in numbers))
        *views, visitors = pipeline.execute()
        return {"pageviews": sum(int(v or 0) for v in views), "visitors": visitors, "bots": 0}

    def pages(self, site: Site, first: date, last: date, limit: int) -> list[dict[str, Any]]:
        """The most viewed pages of the days, most viewed first, ties by path."""
        names = self._keys(site)
        numbers = [day_number(day) for day in days(first, last)]
        pipeline = self.client.pipeline(transaction=False)
        for number in numbers:
            pipeline.hgetall(names.views(keys.DAY, number))
        views: Counter[str] = Counter()
        seen_on: dict[str, list[int]] = {}
        for number, counts in zip(numbers, pipeline.execute(), strict=True):
            for path, count in _paths(counts):
                views[path] += count
                seen_on.setdefault(path, []).append(number)
        top = sorted(views.items(), key=lambda item: (-item[1], item[0]))[:limit]
        for path, _ in top:
            pipeline.pfcount(*(names.page_visitors(number, path) for number in seen_on[path]))
        return [
            {"path": path, "pageviews": count, "visitors": visitors}
            for (path, count), visitors in zip(top, pipeline.execute(), strict=True)
        ]

    def now(self, site: Site, now_ms: int) -> dict[str, Any]:
        """Visitors of the last five minutes, by arrival, and the page each was on last."""
        on_page = self._people(self._keys(site), now_ms)
        pages = sorted(on_page.items(), key=lambda item: (-item[1], item[0]))
        return {
            "visitors": on_page.total(),
            "pages": [{"path": path, "visitors": count} for path, count in pages],
        }

    def live(self, site: Site, now_ms: int) -> dict[str, Any]:
        """The `state` of the live page (SPEC.md §8)."""
        names = self._keys(site)
        day = day_number(today(site.time_zone, now_ms))
        second = now_ms // 1_000
        minutes = range(second // 60 - LIVE_MINUTES + 1, second // 60 + 1)
        pipeline = self.client.pipeline(transaction=False)
        pipeline.hget(names.views(keys.DAY, day), keys.TOTAL)
        pipeline.pfcount(names.visitors(keys.DAY, day))
        pipeline.hget(names.state, "last_received")
        for minute in minutes:
            pipeline.hgetall(names.live(minute))
        views_today, visitors_today, last_received, *counts = pipeline.execute()
        on_page = self._people(names, now_ms)
        return {
            **_of_site(site),
            "last_received": int(last_received) if last_received else None,
            "visitors_now": on_page.total(),
            "views_last_minute": _last_minute(counts[-2], counts[-1], second % 60),
            "views_today": int(views_today or 0),
            "visitors_today": visitors_today,
            "minutes": [
                [minute, int(count.get(keys.TOTAL.encode(), 0))]
                for minute, count in zip(minutes, counts, strict=True)
            ],
            "pages": _live_pages(counts, on_page),
            "as_of": self.as_of(now_ms),
        }

    def revision(self, sites: Sequence[Site]) -> list[int]:
        """For each site a number that changes whenever its counts change."""
        pipeline = self.client.pipeline(transaction=False)
        for site in sites:
            pipeline.hget(self._keys(site).state, "revision")
        return [int(revision or 0) for revision in pipeline.execute()]

    def summaries(self, sites: Sequence[Site], now_ms: int) -> dict[str, dict[str, int | None]]:
        """By site id: `views_today`, `visitors_now`, `last_received` (ms; None: nothing yet)."""
        pipeline = self.client.pipeline(transaction=False)
        for site in sites:
            names = self._keys(site)
            day = day_number(today(site.time_zone, now_ms))
            pipeline.hget(names.views(keys.DAY, day), keys.TOTAL)
            pipeline.zcount(names.now, now_ms - NOW_MS, "+inf")
            pipeline.hget(names.state, "last_received")
        found = pipeline.execute()
        return {
            site.public_id: {
                "views_today": int(found[3 * n] or 0),
                "visitors_now": found[3 * n + 1],
                "last_received": int(found[3 * n + 2]) if found[3 * n + 2] else None,
            }
            for n, site in enumerate(sites)
        }

    def as_of(self, now_ms: int) -> dict[str, Any]:
        """How old and how complete the numbers are (SPEC.md §9)."""
        rebuilt = self._rebuilt()
        reports = list(self._reports(self._topic_id()).values())
        found = _as_of(reports, now_ms) if reports else {"at": _iso(now_ms), **_NOTHING_KNOWN}
        return found if rebuilt is None else {**found, "state": "rebuilding", "rebuilt": rebuilt}

    def _rebuilt(self) -> float | None:
        """How much of an emptied store is counted again, 0 to 1; None: nothing is missing."""
        goals = {name.decode(): int(goal) for name, goal in self._rebuilding().items()}
        total = goals.pop("total", 0)
        if not goals or total <= 0:
            return None
        pipeline = self.client.pipeline(transaction=False)
        for name in goals:
            topic_id, partition = name.split(":")
            for shard in range(self.shards):
                pipeline.hget(keys.marker(shard, topic_id), partition)
        markers = [int(marker or 0) for marker in pipeline.execute()]
        left = sum(
            max(0, goal - min(markers[n * self.shards : (n + 1) * self.shards]))
            for n, goal in enumerate(goals.values())
        )
        return round(1 - min(left, total) / total, 3)

    def _rebuilding(self) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = self.client.hgetall(keys.rebuilding(self.topic))
        return found

    def ledger(self) -> dict[str, Any]:
        """The balance: per partition, read = counted + duplicate + bot + late + invalid.

        `read` comes from the marker, the categories from their own counts, all of one shard
        in one atomic read. Shards are read one after the other: a partition's `in_flight`
        tells how many offsets one has passed and another has not, and by as much its
        categories may be ahead of `read`. `earlier_logs` sums the logs counted before.
        """
        topic_id = self._topic_id()
        reports = self._reports(topic_id)
        balances = self._balances(topic_id)
        partitions = [
            _row(partition, balances.get(partition) or _add_up([]), reports.get(partition))
            for partition in sorted(balances.keys() | reports.keys())
        ]
        earlier = [
            balance
            for log in self.client.zrange(keys.logs(self.topic), 0, -1)
            if log.decode() != topic_id
            for balance in self._balances(log.decode()).values()
        ]
        return {
            "topic": self.topic,
            "topic_id": topic_id or None,
            "partitions": partitions,
            "totals": _sum(partitions),
            "earlier_logs": _sum(earlier),
        }

    def first_counted(self) -> datetime | None:
        """When the first log of the topic was seen; None: none ever was."""
        found = self.client.zrange(keys.logs(self.topic), 0, 0, withscores=True)
        return datetime.fromtimestamp(found[0][1] / 1000, UTC) if found else None

    def site_ledger(self, site: Site, first: date, last: date) -> list[dict[str, Any]]:
        """The site's balance of each day from `first` to `last`, by the day of arrival:
        `day`, `read`, the sum, and the categories of events that name a site."""
        names = self._keys(site)
        wanted = days(first, last)
        pipeline = self.client.pipeline(transaction=False)
        for day in wanted:
            pipeline.hmget(names.ledger(day_number(day)), SITE_CATEGORIES)
        return [
            _site_day(day, [int(events or 0) for events in found])
            for day, found in zip(wanted, pipeline.execute(), strict=True)
        ]

    def _balances(self, topic_id: str) -> dict[int, dict[str, int]]:
        """Per partition of one log, summed over the shards."""
        shards = [self._shard_balances(shard, topic_id) for shard in range(self.shards)]
        return {
            partition: _add_up([shard[partition] for shard in shards if partition in shard])
            for partition in {p for shard in shards for p in shard}
        }

    def _shard_balances(self, shard: int, topic_id: str) -> dict[int, dict[str, int]]:
        pipeline = self.client.pipeline(transaction=True)
        pipeline.hgetall(keys.marker(shard, topic_id))
        pipeline.hgetall(keys.ledger(shard, topic_id))
        markers, ledger = pipeline.execute()
        return {
            int(partition): {
                "marker": int(marker),
                **{
                    category: int(ledger.get(b"%s:%s" % (partition, category.encode()), 0))
                    for category in (*CATEGORIES, EXPIRED, HOLES)
                },
            }
            for partition, marker in markers.items()
        }

    def _topic_id(self) -> str:
        return (self.client.get(keys.current_log(self.topic)) or b"").decode()

    def _reports(self, topic_id: str) -> dict[int, dict[str, int]]:
        return {
            int(partition): msgspec.json.decode(report)
            for partition, report in self.client.hgetall(keys.status(topic_id)).items()
        }

    def _people(self, names: keys.SiteKeys, now_ms: int) -> Counter[str]:
        """Visitors of the last five minutes by the page they were on last."""
        visitors = self.client.zrange(names.now, now_ms - NOW_MS, "+inf", byscore=True)
        if not visitors:
            return Counter()
        pages = self.client.hmget(names.now_pages, visitors)
        return Counter(page.decode() for page in pages if page is not None)

    def _keys(self, site: Site) -> keys.SiteKeys:
        return keys.SiteKeys(site.public_id, self.shards)


def empty_state(site: Site) -> dict[str, Any]:
    """The `state` of the live page while nothing of it can be read."""
    numbers = ("last_received", "visitors_now", "views_last_minute", "views_today")
    return {
        **_of_site(site),
        **dict.fromkeys((*numbers, "visitors_today")),
        "minutes": [],
        "pages": [],
        "as_of": {"at": None, **_NOTHING_KNOWN},
    }


def _of_site(site: Site) -> dict[str, Any]:
    return {
        "site": site.public_id,
        "name": str(site),
        "time_zone": site.time_zone,
        "active": site.active,
    }


def now_ms() -> int:
    return int(time.time() * 1000)


def _as_of(reports: Sequence[dict[str, int]], now_ms: int) -> dict[str, Any]:
    through = min(report["through"] for report in reports)
    fresh = all(now_ms - report["at"] <= _REPORT_VALID_MS for report in reports)
    age = max(0, now_ms - through)
    return {
        "at": _iso(now_ms),
        "through": _iso(through),
        "age_seconds": round(age / 1000, 1),
        "lag": sum(r["log_end"] - r["marker"] for r in reports) if fresh else None,
        "state": "live" if age < _LIVE_AGE_MS else "behind",
    }


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


def _paths(counts: dict[bytes, bytes]) -> list[tuple[str, int]]:
    return [(path.decode(), int(n)) for path, n in counts.items() if path.startswith(b"/")]


def _last_minute(before: dict[bytes, bytes], current: dict[bytes, bytes], second: int) -> int:
    """Page views of the last 60 seconds: this minute's and the rest of the one before."""
    fields = [f"{keys.SECOND}{s:02d}".encode() for s in range(60)]
    recent = sum(int(current.get(name, 0)) for name in fields)
    return recent + sum(int(before.get(name, 0)) for name in fields[second + 1 :])


def _live_pages(
    counts: Sequence[dict[bytes, bytes]], on_page: Counter[str]
) -> list[dict[str, Any]]:
    """The pages of the last 30 minutes, most viewed first, at most 50."""
    views: Counter[str] = Counter()
    for minute in counts:
        for path, count in _paths(minute):
            views[path] += count
    top = sorted(views.items(), key=lambda item: (-item[1], item[0]))[:50]
    return [{"path": p, "views": n, "visitors_now": on_page.get(p, 0)} for p, n in top]


def _add_up(shards: Sequence[dict[str, int]]) -> dict[str, int]:
    """One partition's balance over its shards: each counts its own sites' events, and all
    read the same offsets."""
    balance = {category: sum(shard[category] for shard in shards) for category in CATEGORIES}
    unread = {name: max((shard[name] for shard in shards), default=0) for name in (EXPIRED, HOLES)}
    markers = [shard["marker"] for shard in shards] or [0]
    return {
        "marker": min(markers),
        "in_flight": max(markers) - min(markers),
        "read": min(markers) - sum(unread.values()),
        **balance,
        **unread,
    }


def _site_day(day: date, events: Sequence[int]) -> dict[str, Any]:
    categories = dict(zip(SITE_CATEGORIES, events, strict=True))
    return {"day": day.isoformat(), "read": sum(events), **categories}


def _row(
    partition: int, balance: dict[str, int], report: dict[str, int] | None
) -> dict[str, int | None]:
    """A partition's balance beside what its consumer last said of the log's end."""
    end = None if report is None else max(report["log_end"], balance["marker"])
    lag = None if end is None else end - balance["marker"]
    return {"partition": partition, **balance, "log_end": end, "lag": lag}


def _sum(balances: Sequence[dict[str, Any]]) -> dict[str, int]:
    names = ("read", *CATEGORIES, EXPIRED, HOLES)
    return {name: sum(balance[name] for balance in balances) for name in names}
