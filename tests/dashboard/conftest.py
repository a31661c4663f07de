from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page

from dashboard.api import stats
from dashboard.models import ApiKey
from ingest.models import Site
from processing.counters import connect
from tests.browser import chromium
from tests.conftest import Servers
from tests.dashboard.counting import TOPIC, CountedStore
from tests.dashboard.watching import log_in
from tests.stack import RunningStack
from tracker_site.embedded.servers import Valkey


def read_from(settings: Any, redis_url: str, topic: str) -> None:
    """Make the process's one reader look there."""
    settings.REDIS_URL = redis_url
    settings.KAFKA_TOPIC = topic
    settings.REDIS_SHARDS = 1
    stats.cache_clear()


def forget_reader() -> None:
    stats().client.close()
    stats.cache_clear()


@pytest.fixture
def counted(embedded_servers: Servers, settings: Any) -> Iterator[CountedStore]:
    """An empty live store, from which the API and the admin read."""
    read_from(settings, embedded_servers.redis_url, TOPIC)
    with connect(embedded_servers.redis_url) as client:
        client.flushall()
        yield CountedStore(client)
    forget_reader()


@pytest.fixture
def mortal_store(tmp_path: Path, settings: Any) -> Iterator[Valkey]:
    """A store that the test may stop, from which the API and the admin read."""
    server = Valkey(tmp_path / "store")
    server.start()
    read_from(settings, server.url, TOPIC)
    yield server
    forget_reader()
    server.stop()


@pytest.fixture
def site(db: None) -> Site:
    return Site.objects.create(public_id="example.com", name="Example")


@pytest.fixture
def reader(db: None) -> Client:
    """A program whose key may read every site."""
    return Client(headers={"Authorization": f"Bearer {ApiKey.issue('reader', True)[1]}"})


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """One that believes where requests say that they come from."""
    directory = tmp_path_factory.mktemp("live") / "data"
    stack = RunningStack(directory, TRUSTED_PROXIES="127.0.0.0/8")
    try:
        yield stack.start()
    finally:
        stack.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def context(browser: Browser, stack: RunningStack) -> Iterator[BrowserContext]:
    """A browser in which nobody is logged in; complaints of its pages fail the test."""
    complaints: list[str] = []
    with browser.new_context(base_url=stack.url, viewport={"width": 1440, "height": 900}) as new:
        new.on("weberror", lambda error: complaints.append(str(error.error)))
        yield new
    assert complaints == []


@pytest.fixture
def page(context: BrowserContext, stack: RunningStack) -> Page:
    """A page of somebody who logged in and chose nothing yet."""
    page = context.new_page()
    page.goto("/")
    log_in(page, stack)
    return page
