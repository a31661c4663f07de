"""The tracker script in a real browser, on real pages of another origin; what it sent is read from
the tracker's log."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, Route

from dashboard.snippet import pinned_options, pinned_snippet_of
from ingest.models import Site
from tests.browser import chromium, keeping_pages
from tests.conftest import Servers, make_topic, run_command
from tests.ingest.tracked_site import LogReader, TrackedSite, serve
from tests.processing.pipeline import wait_for
from tests.tracker_site.web import Web

# One server for all of them.
pytestmark = [pytest.mark.xdist_group("tracker script"), pytest.mark.any_database]

SITES = 60
MINUTE = 60_000
BATCH = "**/api/v1/track/batch"


@pytest.fixture(scope="module")
def topic(embedded_servers: Servers) -> str:
    return make_topic(embedded_servers)


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
def log(embedded_servers: Servers, topic: str) -> Iterator[LogReader]:
    with closing(LogReader(embedded_servers.bootstrap_servers, topic)) as reader:
        yield reader


@pytest.fixture(scope="module")
def names() -> Iterator[str]:
    return (f"s{n}.example" for n in range(SITES))


@pytest.fixture
def site(web: Web, log: LogReader, names: Iterator[str]) -> Iterator[TrackedSite]:
    """A site of the test's own, with the script in every page."""
    site = TrackedSite(next(names), f"http://127.0.0.1:{web.port}", log)
    site.install()
    with serve(site):
        yield site


@pytest.fixture(scope="module")
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


def visit(page: Page, site: TrackedSite, path: str = "/") -> None:
    """Returns once the page's view was accepted."""
    with page.expect_response(BATCH) as sent:
        page.goto(site.url + path)
    assert sent.value.status == 202


def ready(page: Page) -> None:
    """Options are there once their module is: it is the last thing that loads."""
    page.wait_for_load_state("networkidle")


def close(page: Page) -> None:
    """As people close a tab."""
    with page.expect_event("close"):
        page.close(run_before_unload=True)


# --- Page views --------------------------------------------------------------------------


def test_it_counts_a_page_when_it_loads(page: Page, site: TrackedSite) -> None:
    page.goto(site.url + "/before")
    site.wait_paths("/before")
    page.goto(f"{site.url}/shop?secret=1&utm_source=mail#top", referer=f"{site.url}/before")
    site.wait_paths("/before", "/shop")
    before, shop = sorted(site.named("pageview"), key=lambda event: event.ts)
    assert (shop.hostname, shop.title, shop.utm_source) == ("127.0.0.1", "Page /shop", "mail")
    assert (shop.language, shop.screen) == ("en-GB", "1000x500")
    assert (before.referrer, shop.referrer) == (None, f"{site.url}/before")
    assert shop.retryable and shop.visitor == before.visitor
    assert abs(shop.ts - shop.received) < 10_000


def test_it_stores_nothing_and_sends_no_preflight(
    page: Page, site: TrackedSite, context: BrowserContext
) -> None:
    devtools = context.new_cdp_session(page)
    devtools.send("Network.enable")
    kinds: list[tuple[str, str]] = []
    devtools.on(
        "Network.requestWillBeSent",
        lambda event: kinds.append((event["request"]["method"], event.get("type", ""))),
    )
    visit(page, site)
    page.evaluate("track('signup', {props: {plan: 'pro'}})")
    site.wait_named("signup")
    assert ("POST", "Fetch") in kinds
    assert not [kind for kind in kinds if "OPTIONS" in kind or "Preflight" in kind]
    assert context.cookies() == []
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0


def test_it_counts_back_and_forward(page: Page, site: TrackedSite) -> None:
    visit(page, site, "/one")
    visit(page, site, "/two")
    with page.expect_response(BATCH):
        page.go_back()
    with page.expect_response(BATCH):
        page.go_forward()
    site.wait_paths("/one", "/two", "/one", "/two")


def test_it_counts_a_page_that_the_browser_had_kept(browser: Browser, site: TrackedSite) -> None:
    with keeping_pages(browser) as other, other.new_context() as context:
        page = context.new_page()
        visit(page, site, "/one")
        page.evaluate("self.kept = true")
        visit(page, site, "/two")
        with page.expect_response(BATCH):
            page.go_back(wait_until="commit")
        assert page.evaluate("self.kept"), "it came from memory"
        site.wait_paths("/one", "/two", "/one")
        assert len({event.id for event in site.events()}) == len(site.events())


def test_it_counts_the_pages_of_a_single_page_application(page: Page, site: TrackedSite) -> None:
    visit(page, site, "/app")
    for path in ("/app/a", "/app/a?tab=2", "/app/a#x", "/app/b"):
        page.evaluate(f"history.pushState({{}}, '', '{path}')")
    site.wait_paths("/app", "/app/a", "/app/b")
    for _ in range(2):  # over the entry of the fragment, to the one of the query
        page.evaluate("history.back()")
    site.wait_paths("/app", "/app/a", "/app/b", "/app/a")
    page.evaluate("history.go(2)")
    site.wait_paths("/app", "/app/a", "/app/b", "/app/a", "/app/b")
    referrers = {event.path: event.referrer for event in site.named("pageview")}
    assert referrers["/app/b"] == f"{site.url}/app/a"
    assert page.evaluate("history.length") == 6, "the page's own history works as ever"


def test_it_counts_a_page_once_it_is_seen(page: Page, site: TrackedSite) -> None:
    """One that loads in the background, or in advance, is not viewed yet."""
    page.add_init_script("Object.defineProperty(document, 'hidden', {value: true, writable: true})")
    page.goto(site.url + "/later")
    ready(page)
    page.evaluate("track('early')")
    site.wait_named("early")
    assert site.paths() == []
    page.evaluate("document.hidden = false; document.dispatchEvent(new Event('visibilitychange'))")
    site.wait_paths("/later")


def test_it_counts_fragments_only_where_they_are_pages(page: Page, site: TrackedSite) -> None:
    visit(page, site, "/plain")
    page.evaluate("location.hash = '#part'")
    site.install("hash")
    visit(page, site, "/app/#/list?page=2")
    page.evaluate("location.hash = '#/item'")
    page.evaluate("location.hash = '#!/other'")
    page.evaluate("location.hash = '#last'")
    site.wait_paths("/plain", "/app/list", "/app/item", "/app/other", "/app/last")


# --- Engagement --------------------------------------------------------------------------


def test_it_tells_how_long_and_how_far_a_page_was_read(page: Page, site: TrackedSite) -> None:
    site.pages = {"/long": '<div style="height: 5000px"></div>'}
    page.clock.install()
    visit(page, site, "/long")
    page.clock.fast_forward(7_000)
    page.evaluate("scrollTo(0, 2000)")
    page.wait_for_function("scrollY == 2000")
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.evaluate("scrollTo(0, 0)")
    visit(page, site, "/next")
    (props,) = site.wait_named("engagement")
    assert 7 <= props["seconds"] < 15
    assert 49 <= props["scroll_depth"] <= 50, "2,500 of 5,000 and the body's margin"
    (event,) = site.named("engagement")
    assert event.path == "/long"


def test_it_does_not_count_the_time_that_a_page_is_hidden(page: Page, site: TrackedSite) -> None:
    page.clock.install()
    visit(page, site, "/read")
    page.evaluate(
        """() => { self.show = (shown) => {
          Object.defineProperty(document, 'hidden', {value: !shown, configurable: true})
          document.dispatchEvent(new Event('visibilitychange'))
        } }"""
    )
    page.clock.fast_forward(5_000)
    page.evaluate("show(false)")
    page.clock.fast_forward(100_000)
    page.evaluate("show(true)")
    page.clock.fast_forward(3_000)
    page.evaluate("history.pushState({}, '', '/other')")
    site.wait_paths("/read", "/other")
    props = site.wait_named("engagement", 2)
    assert all(3 <= each["seconds"] < 60 for each in props), "not the 100 that it was hidden"
    assert {each["scroll_depth"] for each in props} == {100}, "all of it fits the window"


def test_closing_the_tab_sends_what_is_left(page: Page, site: TrackedSite) -> None:
    visit(page, site, "/closed")
    page.evaluate("addEventListener('pagehide', () => track('bye'))")
    close(page)
    site.wait_named("bye")
    assert [event.path for event in site.named("engagement")] == ["/closed"]


# --- Connections that break --------------------------------------------------------------


def test_offline_loses_nothing_and_counts_nothing_twice(
    page: Page, site: TrackedSite, context: BrowserContext
) -> None:
    visit(page, site, "/")
    context.set_offline(True)
    page.evaluate("history.pushState({}, '', '/offline')")
    page.evaluate("track('signup', {props: {plan: 'pro'}})")
    page.evaluate("history.pushState({}, '', '/still')")
    assert page.evaluate("track.q.length") == 5, "two views, one signup, two pages left"
    context.set_offline(False)
    site.wait_paths("/", "/offline", "/still")
    page.evaluate("track('last')")
    site.wait_named("last")
    assert site.paths() == ["/", "/offline", "/still"]
    assert site.wait_named("signup") == [{"plan": "pro"}]
    assert len({event.id for event in site.events()}) == len(site.events()) == 7


def test_what_waited_offline_is_dated_when_it_happened(
    page: Page, site: TrackedSite, context: BrowserContext
) -> None:
    page.clock.install(time=1_000_000_000_000)  # a clock that is wrong by decades
    visit(page, site, "/")
    context.set_offline(True)
    page.evaluate("track('waited')")
    page.clock.fast_forward(20 * MINUTE)
    context.set_offline(False)
    site.wait_named("waited")
    (event,) = site.named("waited")
    assert abs(event.received - event.ts - 20 * MINUTE) < 10_000


def test_a_lost_answer_is_made_up_for_under_the_same_id(page: Page, site: TrackedSite) -> None:
    """The event arrives twice, and the tracker knows that it is the same."""
    answers = 0

    def lose_first(route: Route) -> None:
        nonlocal answers
        answers += 1
        if answers == 1:
            assert route.fetch().status == 202
            route.abort()
        else:
            route.continue_()

    page.clock.install()
    page.route(BATCH, lose_first)
    with page.expect_event("requestfailed"):
        page.goto(site.url + "/lost")
    wait_for(lambda: page.evaluate("track.q.length") == 1, "it to wait again", 5)
    page.clock.fast_forward(31_000)
    wait_for(lambda: len(site.events()) == 2, "both copies", 20)
    first, second = site.events()
    assert first.id == second.id and first.retryable and second.retryable
    assert first.name == second.name == "pageview"
    wait_for(lambda: page.evaluate("track.q.length") == 0, "nothing to wait", 5)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_it_sends_again_what_the_tracker_could_not_take(
    page: Page, site: TrackedSite, status: int
) -> None:
    page.route(BATCH, lambda route: route.fulfill(status=status), times=1)
    page.goto(site.url + "/again")
    page.wait_for_function("self.track?.q.length == 1")
    page.evaluate("dispatchEvent(new Event('online'))")
    site.wait_paths("/again")


def test_it_gives_up_before_the_tracker_has_forgotten_the_id(page: Page, site: TrackedSite) -> None:
    """A first try may have arrived: an eleventh minute would count it twice."""
    page.clock.install()
    page.route(BATCH, lambda route: route.abort())
    page.goto(site.url + "/tried")
    page.wait_for_function("self.track?.q.length == 1")
    page.clock.fast_forward(8 * MINUTE)
    page.wait_for_function("self.track?.q.length == 1")
    page.clock.fast_forward(2 * MINUTE)
    page.wait_for_function("self.track?.q.length == 0")
    page.unroute(BATCH)
    page.evaluate("track('after')")
    site.wait_named("after")
    assert site.paths() == []


def test_it_waits_with_a_hundred_events_at_most(
    page: Page, site: TrackedSite, context: BrowserContext
) -> None:
    visit(page, site, "/")
    context.set_offline(True)
    page.evaluate(
        "for (let n = 0; n < 1000; n++) track('flood', {props: {n, long: 'ä'.repeat(400)}})"
    )
    assert page.evaluate("track.q.length") == 100
    context.set_offline(False)
    numbers = sorted(props["n"] for props in site.wait_named("flood", 100))
    assert numbers == list(range(100)), "large, so without keepalive"


def test_one_refused_event_holds_up_no_other(
    page: Page, site: TrackedSite, context: BrowserContext
) -> None:
    visit(page, site, "/")
    context.set_offline(True)
    page.evaluate("track('bad', {props: {deep: {er: 1}}})")
    with pytest.raises(Error, match="BigInt"):
        page.evaluate("track('worse', {props: {n: 1n}})")
    page.evaluate("track('good')")
    context.set_offline(False)
    site.wait_named("good")
    wait_for(lambda: page.evaluate("track.q.length") == 0, "nothing to wait", 5)
    assert site.named("bad") == []


# --- Custom events -----------------------------------------------------------------------

EARLY = "<script>self.track ??= function () { (track.q ??= []).push(arguments) }</script>"


def test_it_sends_custom_events_with_their_properties(page: Page, site: TrackedSite) -> None:
    visit(page, site, "/shop")
    page.evaluate("track('order', {props: {plan: 'pro', seats: 3, trial: true, gone: null}})")
    page.evaluate("track('plain')")
    assert site.wait_named("order") == [{"plan": "pro", "seats": 3, "trial": True}]
    assert site.wait_named("plain") == [{}]
    assert site.named("order")[0].path == "/shop"


def test_it_takes_calls_that_were_made_before_it_was_there(page: Page, site: TrackedSite) -> None:
    site.install(before=f"{EARLY}<script>track('early', {{props: {{n: 1}}}})</script>")
    page.goto(site.url)
    assert site.wait_named("early") == [{"n": 1}]
    site.wait_paths("/")


def test_it_sends_what_attributes_say(page: Page, site: TrackedSite) -> None:
    site.install("tagged forms")
    site.pages = {
        "/": '<button data-track="signup" data-track-plan="pro"><b>Go</b></button>'
        '<form data-track="search" data-track-place="top" action="/found" method="post">'
        '<input name="dataset"><input type="submit" value="Find"></form>'
    }
    visit(page, site)
    ready(page)
    page.locator("b").click()
    assert site.wait_named("signup") == [{"plan": "pro"}]
    page.locator("[type=submit]").click()
    assert site.wait_named("search") == [{"place": "top"}]
    site.wait_paths("/", "/found")
    assert site.named("form_submit") == [], "it has a name of its own"


# --- Options -----------------------------------------------------------------------------

LINKS = """
<a id=away href="https://other.example/a?secret=1#x">away</a>
<a id=file href="/files/list.CSV?x=1">file</a>
<a id=far href="https://other.example/b.pdf">far file</a>
<a id=named href="/made" download>named</a>
<a id=inside href="#part">inside</a>
<a id=mail href="mailto:a@b.example">mail</a>
<form name=letter action="/subscribe?x=1" method=post><input name=id><button>Send</button></form>
<form action="/plain?x=1" method=post><button id=plain>Send</button></form>
"""
STAY = "document.addEventListener('click', event => event.target.href && event.preventDefault())"


def test_options_load_only_where_they_are_asked_for(page: Page, site: TrackedSite) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.removeprefix(site.tracker)))
    visit(page, site, "/")
    ready(page)
    assert not [url for url in asked if "options" in url]
    site.install("outbound")
    visit(page, site, "/")
    ready(page)
    assert len([url for url in asked if "options" in url]) == 1


def test_without_options_links_and_forms_are_left_alone(page: Page, site: TrackedSite) -> None:
    site.pages = {"/": LINKS}
    visit(page, site)
    page.evaluate(STAY)
    for link in ("#away", "#file", "#inside"):
        page.locator(link).click()
    page.locator("#plain").click()
    site.wait_paths("/", "/plain")
    assert {event.name for event in site.events()} <= {"pageview", "engagement"}


def test_it_sends_outbound_links(page: Page, site: TrackedSite) -> None:
    site.install("outbound")
    site.pages = {"/": LINKS}
    visit(page, site)
    ready(page)
    page.evaluate(STAY)
    for link in ("#inside", "#file", "#away"):
        page.locator(link).click()
    page.locator("#far").click(button="middle")
    page.locator("#away").click(button="right")
    found = site.wait_named("outbound_link", 2)
    assert {props["url"] for props in found} == {
        "https://other.example/a",
        "https://other.example/b.pdf",
    }


def test_an_outbound_link_is_sent_though_the_page_goes(page: Page, site: TrackedSite) -> None:
    site.install("outbound")
    with serve(TrackedSite("none", "", site.log)) as other:
        site.pages = {"/": f"<a href='{other.url}/there'>there</a>"}
        visit(page, site)
        ready(page)
        page.locator("a").click()
        page.wait_for_url("**/there")
        assert site.wait_named("outbound_link") == [{"url": f"{other.url}/there"}]


def test_it_sends_downloads(page: Page, site: TrackedSite) -> None:
    site.install("downloads,outbound")
    site.pages = {"/": LINKS}
    visit(page, site)
    ready(page)
    page.evaluate(STAY)
    for link in ("#inside", "#file", "#far", "#named"):
        page.locator(link).click()
    urls = {props["url"] for props in site.wait_named("file_download", 3)}
    assert urls == {
        f"{site.url}/files/list.CSV",
        "https://other.example/b.pdf",
        f"{site.url}/made",
    }
    assert site.named("outbound_link") == [], "each click is one event"


def test_it_sends_forms(page: Page, site: TrackedSite) -> None:
    site.install("forms")
    site.pages = {"/": LINKS}
    visit(page, site)
    ready(page)
    page.get_by_role("button").first.click()
    site.wait_paths("/", "/subscribe")
    visit(page, site)
    ready(page)
    page.locator("#plain").click()
    forms = {props["form"] for props in site.wait_named("form_submit", 2)}
    assert forms == {"letter", "/plain"}
    site.wait_paths("/", "/subscribe", "/", "/plain")
    copies = [event for event in site.events() if event.name == "form_submit"]
    assert len(copies) == 2, "going to the next page is no reason to send it again"


def test_it_sends_pages_that_are_missing(page: Page, site: TrackedSite) -> None:
    site.install("404")
    site.missing = {"/gone"}
    visit(page, site, "/there")
    ready(page)
    visit(page, site, "/gone")
    assert site.wait_named("404") == [{"path": "/gone"}]


def test_it_sends_web_vitals_once(page: Page, site: TrackedSite) -> None:
    site.install("vitals")
    site.pages = {
        "/": "<h1>Large</h1><button onclick='for (const end = performance.now() + 120;"
        " performance.now() < end;);'>Work</button><p id=late>Text</p>"
        "<script>setTimeout(() => late.style.marginTop = '200px', 300)</script>"
    }
    visit(page, site)
    ready(page)
    page.wait_for_function("late.style.marginTop")
    page.locator("button").click()
    page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 100)))")
    visit(page, site, "/next")
    (props,) = site.wait_named("web_vitals")
    assert set(props) == {"ttfb", "fcp", "lcp", "cls", "inp"}
    assert 0 < props["ttfb"] <= props["fcp"] <= props["lcp"] < 60_000
    assert 0 < props["cls"] < 1
    assert 100 <= props["inp"] < 10_000


def test_it_keeps_what_waits_for_the_next_page(
    page: Page, site: TrackedSite, context: BrowserContext
) -> None:
    """Only by option, because it stores."""
    site.install("keep")
    visit(page, site, "/")
    ready(page)
    context.set_offline(True)
    page.evaluate("track('kept', {props: {n: 1}})")
    close(page)
    context.set_offline(False)
    assert site.named("kept") == []
    page = context.new_page()
    visit(page, site, "/next")
    ready(page)
    page.evaluate("track('more')")
    assert site.wait_named("kept") == [{"n": 1}]
    (event,) = site.named("kept")
    assert event.path == "/" and event.received > event.ts
    assert page.evaluate("localStorage.length") == 0
    assert len(site.named("engagement")) >= 1


def test_it_leaves_out_whose_browser_says_so(page: Page, site: TrackedSite) -> None:
    site.install("self")
    visit(page, site, "/one#track-off")
    ready(page)
    page.goto(site.url + "/two")
    ready(page)
    page.evaluate("track('own')")
    page.goto(site.url + "/three#track-on")
    ready(page)
    visit(page, site, "/four")
    site.wait_paths("/one", "/four")
    assert site.named("own") == []


def test_an_option_that_does_not_work_costs_no_other(page: Page, site: TrackedSite) -> None:
    site.install("keep self 404")
    site.missing = {"/gone"}
    page.add_init_script(
        "Object.defineProperty(self, 'localStorage', {get() { throw new Error('blocked') }})"
    )
    page.goto(site.url + "/gone")
    site.wait_paths("/gone")
    assert site.wait_named("404") == [{"path": "/gone"}]


# --- Who does not want to be counted, and who has no JavaScript ---------------------------


@pytest.mark.parametrize("header", ["DNT", "Sec-GPC"])
def test_it_honours_opt_outs_where_the_site_does(
    browser: Browser, site: TrackedSite, web: Web, header: str
) -> None:
    with browser.new_context(extra_http_headers={header: "1"}) as context:
        page = context.new_page()
        visit(page, site, "/counted")
        site.wait_paths("/counted")
        site.public_id = "private.example"
        site.install()
        with page.expect_response(BATCH) as sent:
            page.goto(site.url + "/private")
        assert sent.value.status == 400
        (result,) = sent.value.json()["results"]
        assert result["error"]["field"] == header
    with browser.new_context() as other:
        page = other.new_page()
        before = len(site.paths())
        visit(page, site, "/willing")
        wait_for(lambda: len(site.paths()) > before, "the willing one's view", 20)
        assert set(site.paths()) == {"/willing"}


def test_the_pixel_counts_without_javascript(browser: Browser, site: TrackedSite) -> None:
    site.pages["/plain"] = (
        f'<noscript><img src="{site.tracker}/api/v1/track.gif?site={site.public_id}"'
        ' referrerpolicy="no-referrer-when-downgrade" width="1" height="1" alt=""></noscript>'
    )
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        with page.expect_response("**/track.gif*") as loaded:
            page.goto(f"{site.url}/plain?utm_campaign=spring")
        assert loaded.value.status == 200
        assert page.locator("img").evaluate("img => img.naturalWidth") == 1
    site.wait_paths("/plain")
    (event,) = site.named("pageview")
    assert (event.hostname, event.utm_campaign) == ("127.0.0.1", "spring")
    with browser.new_context() as context:
        page = context.new_page()
        visit(page, site, "/plain")
        site.wait_paths("/plain", "/plain")


# --- Pinned by its hash -------------------------------------------------------------------


@pytest.mark.parametrize("tampered", ["", "t.js", "options.js"])
def test_a_pinned_script_runs_as_it_is_or_not_at_all(
    browser: Browser, site: TrackedSite, settings: Any, tampered: str
) -> None:
    settings.PUBLIC_URL = site.tracker
    snippet = pinned_snippet_of(Site(public_id=site.public_id))
    site.head = pinned_options() + snippet.replace("data-site", 'data-options="404" data-site', 1)
    site.missing = {"/gone"}

    def tamper(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text() + ";self.evil = true")

    with browser.new_context() as context:
        page = context.new_page()
        if tampered:
            page.route(f"**/js/{tampered}*", tamper)
        page.goto(site.url + "/gone")
        ready(page)
        assert page.evaluate("self.evil") is None
        assert page.evaluate("typeof self.track") == (
            "undefined" if tampered == "t.js" else "function"
        )
    if tampered != "t.js":
        site.wait_paths("/gone")
    if not tampered:
        assert site.wait_named("404") == [{"path": "/gone"}]
    else:
        assert site.named("404") == []
