"""What happens now: who is here, the last half hour, the last events, all by arrival."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ingest.models import Site
from processing import keys
from processing.calendar import day_number, today
from processing.dimensions import ALL, PAGE, SECOND
from processing.freshness import NOTHING_KNOWN, Freshness
from processing.live_counts import FEED_EVENTS, LIVE_MINUTES, NOW_MS, read_origin

# Each new event sends them anew to everybody who watches.
LIVE_FEED_EVENTS = 20


class LiveStats(Freshness):
    """Tells it; `now_ms` is the present in Unix milliseconds."""

    def now(self, site: Site, now_ms: int) -> dict[str, Any]:
        """Visitors of the last five minutes, by arrival: the page each was on last, the
        source that brought them, their countries; and the last events, newest first."""
        return {**self._here(self._keys(site), now_ms), "feed": self.feed(site)}

    def feed(self, site: Site, count: int = FEED_EVENTS) -> list[dict[str, Any]]:
        """The last events that arrived, newest first, as `FeedEvent` has them."""
        newest = self.client.zrevrange(self._keys(site).feed, 0, count - 1)
        return [msgspec.json.decode(event) for event in newest]

    def views_in(self, site: Site, minutes: Sequence[int]) -> list[int]:
        """Page views that happened in each of these minutes, Unix seconds / 60."""
        names = self._keys(site)
        pipeline = self.client.pipeline(transaction=False)
        for minute in minutes:
            pipeline.hget(names.views(keys.MINUTE, minute), ALL)
        return [int(views or 0) for views in pipeline.execute()]

    def live(self, site: Site, now_ms: int) -> dict[str, Any]:
        """What the live page shows now: its `state` (SPEC.md §8), with `sources` and `countries` as
        `now` tells them, and without what was yesterday."""
        names = self._keys(site)
        day = day_number(today(site.time_zone, now_ms))
        second = now_ms // 1_000
        minutes = range(second // 60 - LIVE_MINUTES + 1, second // 60 + 1)
        pipeline = self.client.pipeline(transaction=False)
        pipeline.hget(names.views(keys.DAY, day), ALL)
        pipeline.pfcount(names.visitors(keys.DAY, day))
        pipeline.hget(names.state, "last_received")
        for minute in minutes:
            pipeline.hgetall(names.live(minute))
        views_today, visitors_today, last_received, *counts = pipeline.execute()
        here = self._here(names, now_ms)
        on_page = {page["path"]: page["visitors"] for page in here["pages"]}
        return {
            **_of_site(site),
            "last_received": int(last_received) if last_received else None,
            "visitors_now": here["visitors"],
            "views_last_minute": _last_minute(counts[-2], counts[-1], second % 60),
            "views_today": int(views_today or 0),
            "visitors_today": visitors_today,
            "minutes": [
                [minute, int(count.get(ALL.encode(), 0))]
                for minute, count in zip(minutes, counts, strict=True)
            ],
            "pages": _live_pages(counts, on_page),
            "sources": here["sources"],
            "countries": here["countries"],
            "feed": self.feed(site, LIVE_FEED_EVENTS),
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
            pipeline.hget(names.views(keys.DAY, day), ALL)
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

    def _here(self, names: keys.SiteKeys, now_ms: int) -> dict[str, Any]:
        """Visitors of the last five minutes, and by what they are told apart."""
        visitors = self._visitors(names, now_ms)
        sources, referrers = _origins(self._by(names.now_sources, visitors))
        return {
            "visitors": len(visitors),
            "pages": _ranked("path", self._by(names.now_pages, visitors)),
            "sources": _ranked("source", sources),
            "referrers": _ranked("referrer", referrers),
            "countries": _ranked("country", self._by(names.now_countries, visitors)),
        }

    def _visitors(self, names: keys.SiteKeys, now_ms: int) -> list[bytes]:
        found: list[bytes] = self.client.zrange(names.now, now_ms - NOW_MS, "+inf", byscore=True)
        return found

    def _by(self, key: str, visitors: list[bytes]) -> Counter[str]:
        """How many of the visitors have each value, where they have one."""
        if not visitors:
            return Counter()
        values = self.client.hmget(key, visitors)
        return Counter(value.decode() for value in values if value is not None)


def _origins(counts: Counter[str]) -> tuple[Counter[str], Counter[str]]:
    """By source, and by referrer."""
    sources: Counter[str] = Counter()
    referrers: Counter[str] = Counter()
    for packed, visitors in counts.items():
        source, referrer = read_origin(packed)
        sources[source] += visitors
        if referrer:
            referrers[referrer] += visitors
    return sources, referrers


def _ranked(name: str, counts: Counter[str]) -> list[dict[str, Any]]:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [{name: value, "visitors": count} for value, count in ranked]


def empty_state(site: Site) -> dict[str, Any]:
    """The `state` of the live page while nothing of it can be read."""
    numbers = ("last_received", "visitors_now", "views_last_minute", "views_today")
    return {
        **_of_site(site),
        **dict.fromkeys((*numbers, "visitors_today")),
        **{name: [] for name in ("minutes", "pages", "sources", "countries", "feed")},
        "as_of": {"at": None, **NOTHING_KNOWN},
    }


def _of_site(site: Site) -> dict[str, Any]:
    return {
        "site": site.public_id,
        "name": str(site),
        "time_zone": site.time_zone,
        "active": site.active,
    }


def _last_minute(before: dict[bytes, bytes], current: dict[bytes, bytes], second: int) -> int:
    """Page views of the last 60 seconds: this minute's and the rest of the one before."""
    fields = [f"{SECOND}{s:02d}".encode() for s in range(60)]
    recent = sum(int(current.get(name, 0)) for name in fields)
    return recent + sum(int(before.get(name, 0)) for name in fields[second + 1 :])


def _live_pages(
    counts: Sequence[dict[bytes, bytes]], on_page: Mapping[str, int]
) -> list[dict[str, Any]]:
    """The pages of the last 30 minutes, most viewed first, at most 50."""
    views: Counter[str] = Counter()
    for minute in counts:
        for path, count in _paths(minute):
            views[path] += count
    top = sorted(views.items(), key=lambda item: (-item[1], item[0]))[:50]
    return [{"path": p, "views": n, "visitors_now": on_page.get(p, 0)} for p, n in top]


def _paths(counts: dict[bytes, bytes]) -> list[tuple[str, int]]:
    begin = PAGE.prefix.encode()
    return [(path.decode(), int(n)) for path, n in counts.items() if path.startswith(begin)]
