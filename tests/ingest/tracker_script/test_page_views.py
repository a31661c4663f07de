"""What counts as a page view, and how long it is looked at."""

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser import keeping_pages
from tests.ingest.tracker_script.tracked_site import BATCH, TrackedSite, close, ready, visit

# One server for all of them.
pytestmark = [pytest.mark.xdist_group("tracker script"), pytest.mark.any_database]


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


def test_it_tells_the_time_zone_and_whether_a_program_steers(
    browser: Browser, site: TrackedSite
) -> None:
    people = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/141.0.0.0 Safari/537.36"
    for steered in (True, False):
        with browser.new_context(timezone_id="Europe/Lisbon", user_agent=people) as context:
            page = context.new_page()
            # Playwright steers every page; only this tells.
            page.add_init_script(
                "Object.defineProperty(Navigator.prototype, 'webdriver', "
                f"{{get: () => {str(steered).lower()}}})"
            )
            visit(page, site, f"/{steered}")
    events = sorted(site.named("pageview"), key=lambda event: event.ts)
    assert [(event.path, event.bot) for event in events] == [
        ("/True", "headless"),
        ("/False", None),
    ]
    assert {event.time_zone for event in events} == {"Europe/Lisbon"}


def test_it_tells_of_engagement_where_its_page_was_reached_from(
    page: Page, site: TrackedSite
) -> None:
    visit(page, site, "/one")
    page.evaluate("history.pushState({}, '', '/two')")
    site.wait_paths("/one", "/two")
    (left,) = site.named("engagement")
    assert (left.path, left.referrer) == ("/one", None)


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
    page.evaluate(
        "document.hidden = false;"
        "document.dispatchEvent(new Event('visibilitychange', {bubbles: true}))"
    )
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
          document.dispatchEvent(new Event('visibilitychange', {bubbles: true}))
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
