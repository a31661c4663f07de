"""What `data-options` asks for."""

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.ingest.tracker_script.tracked_site import TrackedSite, close, ready, serve, visit

# One server for all of them.
pytestmark = [pytest.mark.xdist_group("tracker script"), pytest.mark.any_database]


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
