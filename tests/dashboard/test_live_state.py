"""What the live page tells of people here now, and of yesterday."""

from datetime import UTC, datetime

import pytest

from dashboard.api import stats
from dashboard.live_state import LiveStates, State
from ingest.models import Site
from processing.stats import now_ms
from tests.dashboard.counting import CountedStore

DAY_MS = 86_400_000


@pytest.fixture
def noon(site: Site) -> Site:
    """A site where it is noon now, so that neither yesterday nor tomorrow is near."""
    site.time_zone = f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"
    site.save()
    return site


def read(site: Site) -> State:
    return LiveStates(stats()).read(site, now_ms())


def test_it_tells_by_which_source_people_came(counted: CountedStore, site: Site) -> None:
    came_from = {
        "v1": "Google",
        "v2": "Google",
        "v3": "blog.other.example",
        "v4": "example.com",
        "v5": "shop.example.com",
        "v6": None,
    }
    for visitor, source in came_from.items():
        view = counted.view(site, "/", visitor, source=source, referrer="https://x/", country="DE")
        counted.count(view)
    state = read(site)
    assert state["sources"] == {
        "results": [
            {"value": "Google", "visitors": 2},
            {"value": "blog.other.example", "visitors": 1},
        ],
        "more": 0,
        "other": 0,
        "unknown": 3,
    }
    assert state["countries"]["results"] == [{"value": "DE", "visitors": 6}]
    told = [event.get("source") for event in state["feed"]]
    assert (told.count("Google"), told.count(None)) == (2, 3)
    assert not any("referrer" in event for event in state["feed"])


def test_it_adds_up_what_it_does_not_list(counted: CountedStore, site: Site) -> None:
    for n in range(12):
        counted.count(counted.view(site, "/", f"v{n}", source=f"s{n:02d}.example"))
    sources = read(site)["sources"]
    assert len(sources["results"]) == 10
    assert (sources["more"], sources["other"], sources["unknown"]) == (2, 2, 0)


def test_it_tells_of_yesterday_until_now(counted: CountedStore, noon: Site) -> None:
    now = now_ms() // 60_000 * 60_000
    for minutes in (-90, -2, 3):
        counted.count(counted.view(noon, "/", ts=now - DAY_MS + minutes * 60_000))
    yesterday = LiveStates(stats()).read(noon, now)["yesterday"]
    assert yesterday["views"] == 2
    assert sum(yesterday["minutes"]) == 1 and yesterday["minutes"][-3] == 1


def test_it_asks_for_yesterday_once_a_minute(counted: CountedStore, noon: Site) -> None:
    states, now = LiveStates(stats()), now_ms() // 60_000 * 60_000
    assert states.read(noon, now)["yesterday"]["views"] == 0
    counted.count(counted.view(noon, "/", ts=now - DAY_MS - 120_000))
    assert states.read(noon, now + 59_000)["yesterday"]["views"] == 0
    assert states.read(noon, now + 60_000)["yesterday"]["views"] == 1


def test_it_compares_with_nothing_that_is_not_kept(counted: CountedStore, noon: Site) -> None:
    noon.retention_days = 1
    assert read(noon)["yesterday"]["views"] is None
