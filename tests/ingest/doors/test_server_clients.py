"""Clients for servers, as they come from npm and PyPI; only the host is ours."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ga4mp import GtagMP
from segment.analytics import Client as SegmentClient
from snowplow_tracker import (
    EmitterConfiguration,
    PagePing,
    PageView,
    SelfDescribing,
    SelfDescribingJson,
    Snowplow,
    StructuredEvent,
    Subject,
)

from ingest.pageview import PageView as Logged
from tests.conftest import _missing
from tests.ingest.doors.tracker_door import SITE, WEBSITE, TrackerDoor

CLIENTS = Path(__file__).parent / "clients"
pytestmark = [pytest.mark.xdist_group("doors"), pytest.mark.any_database]


def node(script: str, *arguments: str) -> str:
    """What it wrote; it must not complain."""
    check_node()
    done = subprocess.run(
        ["node", script, *arguments],
        cwd=CLIENTS,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": os.environ["PATH"]},
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def check_node() -> None:
    if shutil.which("node") is None or not (CLIENTS / "node_modules").exists():
        _missing("the clients need node and `make install-clients`")


@contextmanager
def running_node(script: str, *arguments: str) -> Iterator[Callable[[], str]]:
    """Until the block ends; gives what it writes next."""
    check_node()
    with subprocess.Popen(
        ["node", script, *arguments], cwd=CLIENTS, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline
        finally:
            process.kill()


def told(event: Logged, *names: str) -> dict[str, Any]:
    assert (event.site, event.bot) == (SITE, None)
    return {name: getattr(event, name) for name in names}


def test_umami_node(door: TrackerDoor) -> None:
    answers = json.loads(node("umami_node.js", door.url, WEBSITE))
    assert [status for status, _ in answers] == [200, 200, 200]
    assert all({"cache", "sessionId", "visitId"} == set(body) for _, body in answers)
    page, event = sorted(door.events(2), key=lambda e: e.name)
    assert told(page, "name", "hostname", "path", "title", "language", "screen") == {
        "name": "pageview",
        "hostname": "shop.example",
        "path": "/pricing",
        "title": "Pricing",
        "language": "en-GB",
        "screen": "1920x1080",
    }
    assert told(page, "utm_source", "referrer", "browser", "country") == {
        "utm_source": "news",
        "referrer": "https://news.example/a",
        "browser": None,
        "country": None,
    }
    assert (event.name, event.props) == ("signup", {"plan": "pro", "nested.seats": 3})


def test_matomo_node(door: TrackerDoor) -> None:
    # It never reads the answer to its GET, so its process does not end by itself.
    with running_node("matomo_node.js", door.url, "1") as said:
        assert json.loads(said()) == {"status": "success", "tracked": 2, "invalid": 0}
        found = door.events(3)
    play, first, second = sorted(found, key=lambda e: (e.name != "play", e.path))
    for page, path in ((first, "/a"), (second, "/b")):
        assert told(page, "name", "path", "title", "referrer", "screen", "browser", "props") == {
            "name": "pageview",
            "path": path,
            "title": "Page A",
            "referrer": "https://news.example/",
            "screen": "1366x768",
            "browser": "Firefox",
            "props": {"plan": "pro"},
        }
    assert play.props == {"category": "video", "label": "intro", "value": "42"}
    assert len({event.visitor for event in (play, first, second)}) == 1


def test_segment_node(door: TrackerDoor) -> None:
    assert node("segment_node.js", door.url, "write-key") == ""
    event, page = sorted(door.events(2), key=lambda e: e.name)
    assert told(page, "path", "title", "utm_source", "language", "time_zone", "browser") == {
        "path": "/pricing",
        "title": "Prices",
        "utm_source": "news",
        "language": "de-DE",
        "time_zone": "Europe/Berlin",
        # The visitor's, whose user agent the server sent along.
        "browser": "Safari",
    }
    assert told(event, "id", "name", "props", "retryable") == {
        "id": "mine",
        "name": "Signed Up",
        "props": {"plan": "pro"},
        "retryable": True,
    }


def test_snowplow_node(door: TrackerDoor) -> None:
    node("snowplow_node.js", door.url, "shop-app")
    page, event = sorted(door.events(2), key=lambda e: e.name)
    assert told(page, "name", "path", "title", "referrer", "screen", "language") == {
        "name": "pageview",
        "path": "/docs",
        "title": "Docs",
        "referrer": "https://news.example/",
        "screen": "1920x1080",
        "language": "en-GB",
    }
    assert (event.name, event.props) == ("signup", {"plan": "pro"})
    assert page.visitor == event.visitor and page.retryable


@pytest.mark.parametrize("method", ["post", "get"])
def test_snowplow_python(door: TrackerDoor, method: Any) -> None:
    failures: list[Any] = []
    subject = Subject().set_user_id(f"u-{method}").set_lang("fr").set_timezone("Europe/Paris")
    tracker = Snowplow.create_tracker(
        f"t-{method}",
        door.url,
        method=method,
        app_id="shop-app",
        subject=subject,
        emitter_config=EmitterConfiguration(
            batch_size=1, on_failure=lambda _, failed: failures.extend(failed)
        ),
    )
    tracker.track(PageView("https://shop.example/py", "Python", "https://news.example/"))
    tracker.track(PagePing("https://shop.example/py", "Python", min_y=0, max_y=900))
    tracker.track(StructuredEvent("video", "play", label="intro", value=42))
    acme = SelfDescribingJson("iglu:com.acme/sign_up/jsonschema/2-1-0", {"plan": "pro"})
    tracker.track(SelfDescribing(acme))
    tracker.flush()
    found = {event.name: event for event in door.events(4)}
    assert failures == []
    page = found["pageview"]
    assert told(page, "path", "title", "language", "time_zone", "retryable", "browser") == {
        "path": "/py",
        "title": "Python",
        "language": "fr",
        "time_zone": "Europe/Paris",
        "retryable": True,
        "browser": None,
    }
    assert found["engagement"].path == "/py"
    assert found["play"].props["category"] == "video"  # type: ignore[index]
    assert found["sign_up"].props == {"plan": "pro"}
    assert len({event.visitor for event in found.values()}) == 1


@pytest.mark.parametrize("gzip", [False, True])
def test_segment_python(door: TrackerDoor, gzip: bool) -> None:
    failures: list[Any] = []
    client = SegmentClient(
        "write-key",
        host=door.url,
        sync_mode=True,
        gzip=gzip,
        on_error=lambda error, _: failures.append(error),
    )
    client.page("u1", name="Home", properties={"url": "https://shop.example/home"})
    client.track("u1", "Ordered", {"total": 12.5})
    page, event = door.events(2)
    assert failures == []
    assert told(page, "path", "title", "name") == {
        "path": "/home",
        "title": "Home",
        "name": "pageview",
    }
    assert told(event, "name", "props") == {"name": "Ordered", "props": {"total": 12.5}}
    assert page.visitor == event.visitor


def test_ga4mp(door: TrackerDoor) -> None:
    client = GtagMP("secret", "G-ABC123", "123.456")
    client._base_domain = f"{door.url}/mp/collect"
    view = client.create_new_event("page_view")
    view.set_event_param("page_location", "https://shop.example/ga?utm_source=news")
    view.set_event_param("page_title", "Analytics")
    purchase = client.create_new_event("purchase")
    purchase.set_event_param("currency", "EUR")
    purchase.set_event_param("value", 9.5)
    client.send([view, purchase])
    page, event = sorted(door.events(2), key=lambda e: e.name)
    assert told(page, "name", "path", "title", "utm_source") == {
        "name": "pageview",
        "path": "/ga",
        "title": "Analytics",
        "utm_source": "news",
    }
    assert (event.name, event.props) == ("purchase", {"currency": "EUR", "value": 9.5})
