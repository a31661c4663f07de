"""A tracker, sites of another origin that carry its script, and a browser to look at them."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser import chromium
from tests.conftest import Servers, make_topic, run_command
from tests.ingest.tracker_script.tracked_site import LogReader, TrackedSite, serve
from tests.tracker_site.web import Web

SITES = 60


@pytest.fixture(scope="package")
def topic(embedded_servers: Servers) -> str:
    return make_topic(embedded_servers)


@pytest.fixture(scope="package")
def web(
    tmp_path_factory: pytest.TempPathFactory,
    embedded_servers: Servers,
    migrated_database: str,
    topic: str,
) -> Iterator[Web]:
    add_sites = (
        "from ingest.models import Site;"
        f"[Site.objects.get_or_create(public_id=f's{{n}}.example') for n in range({SITES})];"
        "Site.objects.get_or_create(public_id='private.example', honour_opt_out=True)"
    )
    run_command(migrated_database, "shell", "-v0", "-c", add_sites)
    environment = {
        "DATABASE_URL": migrated_database,
        "REDIS_URL": embedded_servers.redis_url,
        "KAFKA_BOOTSTRAP_SERVERS": embedded_servers.bootstrap_servers,
        "KAFKA_TOPIC": topic,
        "RATE_LIMIT_ADDRESS": "0",
    }
    web = Web(tmp_path_factory.mktemp("web"), environment)
    web.start_timeout = 90.0
    try:
        web.start()
        yield web
    finally:
        web.stop()


@pytest.fixture(scope="package")
def log(embedded_servers: Servers, topic: str) -> Iterator[LogReader]:
    with closing(LogReader(embedded_servers.bootstrap_servers, topic)) as reader:
        yield reader


@pytest.fixture(scope="package")
def names() -> Iterator[str]:
    return (f"s{n}.example" for n in range(SITES))


@pytest.fixture
def site(web: Web, log: LogReader, names: Iterator[str]) -> Iterator[TrackedSite]:
    """A site of the test's own, with the script in every page."""
    site = TrackedSite(next(names), f"http://127.0.0.1:{web.port}", log)
    site.install()
    with serve(site):
        yield site


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser without a past; whatever its pages throw fails the test."""
    complaints: list[str] = []
    with browser.new_context(viewport={"width": 1000, "height": 500}, locale="en-GB") as context:
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        yield context
    assert complaints == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()
