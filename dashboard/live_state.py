"""The `state` of the live page (SPEC.md §8): what the live store tells, in the viewers' words,
beside what it told yesterday."""

from typing import Any

from dashboard.kept import Kept
from dashboard.period import running_day
from ingest.models import Site
from processing.calendar import today
from processing.live_counts import LIVE_MINUTES
from processing.live_stats import empty_state
from processing.stats import Stats

State = dict[str, Any]
_DAY_MINUTES = 1_440
# Rows of sources and of countries.
LISTED = 10


class LiveStates:
    """Reads them; what was yesterday only once a minute."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._yesterdays: dict[str, tuple[int, State]] = {}

    def read(self, site: Site, now_ms: int) -> State:
        """Raises `redis.RedisError`."""
        state = _worded(self._stats.live(site, now_ms))
        return {**state, "yesterday": self._yesterday(site, now_ms)}

    def _yesterday(self, site: Site, now_ms: int) -> State:
        minute = now_ms // 60_000
        read_at, found = self._yesterdays.get(site.public_id, (None, {}))
        if read_at != minute:
            found = read_yesterday(self._stats, site, now_ms)
            self._yesterdays[site.public_id] = minute, found
        return found


def read_yesterday(stats: Stats, site: Site, now_ms: int) -> State:
    """`views` until the clock showed what it shows now, null where they are not kept; `minutes`:
    page views of the same half hour, empty where they are not kept."""
    kept = Kept.of(site)
    before = running_day(today(site.time_zone, now_ms)).before(kept, site.time_zone, now_ms)
    views = None
    if before is not None:
        views = stats.totals(site, before.first, before.last, before.until)["pageviews"]
    last = now_ms // 60_000 - _DAY_MINUTES
    minutes = range(last - LIVE_MINUTES + 1, last + 1)
    are_kept = kept.has_minutes_since(minutes[0] * 60, now_ms // 1_000)
    return {"views": views, "minutes": stats.views_in(site, minutes) if are_kept else []}


def unavailable(site: Site, last: State | None = None) -> State:
    """The last state that was read, or an empty one, said not to be true now."""
    state = last or {**_worded(empty_state(site)), "yesterday": None}
    return {**state, "as_of": {**state["as_of"], "state": "unavailable"}}


def _worded(state: State) -> State:
    """With the first of a list and what is beside them, instead of every source and country."""
    return {
        **state,
        "sources": _listed(state["sources"], "source", state["visitors_now"]),
        "countries": _listed(state["countries"], "country", state["visitors_now"]),
        "feed": [_told(event) for event in state["feed"]],
    }


def _listed(rows: list[State], name: str, everybody: int | None) -> State:
    """The first of them; how many values there are beside these, with how many visitors; and of
    how many visitors no value is known."""
    ranked = [{"value": row[name], "visitors": row["visitors"]} for row in rows]
    visitors = [row["visitors"] for row in ranked]
    return {
        "results": ranked[:LISTED],
        "more": len(ranked[LISTED:]),
        "other": sum(visitors[LISTED:]),
        "unknown": max(0, (everybody or 0) - sum(visitors)),
    }


def _told(event: dict[str, Any]) -> dict[str, Any]:
    """An event with nothing but its source of where the visitor came from."""
    return {name: value for name, value in event.items() if name != "referrer"}
