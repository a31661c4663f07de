"""Scripts for browsers, as they come from npm, in Chromium on a page of another origin."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route

from ingest.pageview import PageView
from tests.browser import chromium
from tests.conftest import _missing
from tests.ingest.doors.test_server_clients import CLIENTS
from tests.ingest.doors.tracker_door import CHROME, SITE, TrackerDoor
from tests.ingest.tracker_script.tracked_site import TrackedSite, serve

pytestmark = [pytest.mark.xdist_group("doors"), pytest.mark.any_database]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """It does not say that it is headless; `/npm/…` is what npm installed. What its pages throw or
    the browser refuses fails the test."""
    if not (CLIENTS / "node_modules").exists():
        _missing("the clients need `make install-clients`")
    complaints: list[str] = []
    with browser.new_context(
        user_agent=CHROME, locale="en-GB", timezone_id="Europe/Berlin", service_workers="block"
    ) as context:
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        context.on(
            "console",
            lambda said: complaints.append(said.text) if said.type == "error" else None,
        )
        context.route("**/npm/**", _installed)
        yield context
    assert complaints == []


def _installed(route: Route) -> None:
    """The file, as bundlers find it: some import others without their ending."""
    file = CLIENTS / "node_modules" / route.request.url.partition("/npm/")[2]
    if not file.is_file():
        file = file.with_name(f"{file.name}.js")
    route.fulfill(path=file, content_type="text/javascript")


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


def show(page: Page, door: TrackerDoor, path: str, head: str) -> TrackedSite:
    """The page of a site whose pages have this head; it stays there until it is left."""
    site = TrackedSite(SITE, door.url, door.log, head=head)
    with serve(site):
        page.goto(site.url + path, referer="https://news.example/")
        page.wait_for_load_state("networkidle")
    return site


def test_plausible_tracker(door: TrackerDoor, page: Page) -> None:
    show(
        page,
        door,
        "/a?utm_source=mail",
        f"""<script type=module>
        import Plausible from "/npm/plausible-tracker/build/module/index.js";
        const plausible = Plausible({{
            domain: "{SITE}", apiHost: "{door.url}", trackLocalhost: true,
        }});
        plausible.trackPageview();
        plausible.trackEvent("signup", {{ props: {{ plan: "pro" }} }});
        </script>""",
    )
    view, signup = sorted(door.events(2), key=lambda event: event.name)
    assert (view.site, view.name, view.path, view.bot) == (SITE, "pageview", "/a", None)
    assert (view.utm_source, view.referrer) == ("mail", "https://news.example/")
    assert (signup.name, signup.props) == ("signup", {"plan": "pro"})
    assert view.visitor == signup.visitor


def test_plausible_analytics_tracker(door: TrackerDoor, page: Page) -> None:
    show(
        page,
        door,
        "/a?utm_source=mail",
        f"""<script type=module>
        import {{ init, track }} from "/npm/@plausible-analytics/tracker/plausible.js";
        init({{ domain: "{SITE}", endpoint: "{door.url}/api/event", captureOnLocalhost: true }});
        history.pushState(null, "", "/b");
        track("signup", {{
            props: {{ plan: "pro" }},
            callback: (result) => document.body.dataset.status = result.status,
        }});
        </script>""",
    )
    page.wait_for_function("document.body.dataset.status === '202'")
    found: dict[tuple[str, str], PageView] = {}
    page.goto("about:blank")
    while ("engagement", "/b") not in found:
        found |= {(e.name, e.path): e for e in door.events(1, at_least=True)}
    assert found["pageview", "/a"].utm_source == "mail"
    assert found["pageview", "/b"].bot is None
    assert found["signup", "/b"].props == {"plan": "pro"}
    assert (found["engagement", "/b"].props or {})["scroll_depth"] == 100


def test_segment_analytics_next(door: TrackerDoor, page: Page) -> None:
    host = door.url.removeprefix("http://")
    show(
        page,
        door,
        "/a?utm_source=mail",
        f"""<script src="/npm/@segment/analytics-next/dist/umd/index.js"></script>
        <script type=module>
        const analytics = new AnalyticsNext.AnalyticsBrowser();
        analytics.load({{
            writeKey: "write-key",
            cdnSettings: {{ integrations: {{ "Segment.io": {{
                apiKey: "write-key", apiHost: "{host}/v1", protocol: "http",
            }} }} }},
        }});
        await analytics.identify("u1", {{ plan: "pro" }});
        await analytics.page("docs", "Page A");
        await analytics.track("signup", {{ plan: "pro" }});
        </script>""",
    )
    view, signup = sorted(door.events(2), key=lambda event: event.name)
    assert (view.name, view.path, view.site, view.bot) == ("pageview", "/a", SITE, None)
    assert (view.utm_source, view.language, view.retryable) == ("mail", "en-GB", True)
    assert view.time_zone == "Europe/Berlin"
    assert (signup.name, signup.props) == ("signup", {"plan": "pro"})


@pytest.mark.parametrize("method", ["post", "get"])
def test_snowplow_browser_tracker(door: TrackerDoor, page: Page, method: str) -> None:
    show(
        page,
        door,
        "/a?utm_source=mail",
        f"""<script src="/npm/@snowplow/browser-tracker/dist/index.umd.js"></script>
        <script type=module>
        const {{ newTracker, trackPageView, trackSelfDescribingEvent }} = snowplowBrowserTracking;
        newTracker("sp", "{door.url}", {{
            appId: "shop-app", eventMethod: "{method}", bufferSize: 1,
            onRequestSuccess: () => document.body.dataset.sent = "yes",
        }});
        trackPageView();
        trackSelfDescribingEvent({{ event: {{
            schema: "iglu:com.acme/signup/jsonschema/1-0-0", data: {{ plan: "pro" }},
        }} }});
        </script>""",
    )
    page.wait_for_function("document.body.dataset.sent === 'yes'")
    view, signup = sorted(door.events(2), key=lambda event: event.name)
    assert (view.name, view.path, view.site, view.bot) == ("pageview", "/a", SITE, None)
    assert (view.title, view.language) == ("Page /a", "en-GB")
    assert (view.utm_source, view.time_zone, view.retryable) == ("mail", "Europe/Berlin", True)
    assert (signup.name, signup.props) == ("signup", {"plan": "pro"})
    assert view.visitor == signup.visitor
    # The script keeps its own; the collector's is not set.
    assert "sp" not in {cookie["name"] for cookie in page.context.cookies(door.url)}
