"""The live page as people see it: a whole stack and a real browser."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from prometheus_client.parser import text_string_to_metric_families

from tests.browser import NOT_STEERED
from tests.dashboard.contrast import faint_texts
from tests.dashboard.watching import SECOND, add_site, log_in, open_site
from tests.ingest.enrichment.test_agent import WINDOWS
from tests.stack import RunningStack

# One server for all of them.
pytestmark = pytest.mark.xdist_group("live page")


def views_of(page: Page, path: str) -> int:
    row = page.locator("#pages tr").filter(has=page.get_by_text(path, exact=True))
    return int(row.locator("td").last.inner_text()) if row.count() else 0


def test_it_moves_within_a_second_of_a_page_view(page: Page, stack: RunningStack) -> None:
    stack.track({"user_id": "first", "page_url": "/first"})
    open_site(page, "localhost")
    for n in range(1, 4):
        stack.track({"user_id": f"u{n}", "page_url": "/home", "timestamp": 1730814562})
        row = page.locator("#pages tr").filter(has=page.get_by_text("/home", exact=True))
        expect(row.locator("td").last).to_have_text(str(n), timeout=SECOND)
    expect(page).to_have_title(re.compile(r"^\d+ now · localhost$"))
    assert int(page.locator("[data-figure=visitors_now]").inner_text()) >= 4


def test_it_turns_into_the_dashboard_with_the_first_page_view(
    page: Page, stack: RunningStack
) -> None:
    add_site(page, "fresh.example")
    open_site(page, "fresh.example")
    expect(page.get_by_text("Waiting for the first page view…")).to_be_visible()
    expect(page.locator("#snippet")).to_contain_text('data-site="fresh.example"')
    stack.track({"site": "fresh.example", "page_url": "/here"})
    expect(page.locator("#board")).to_be_visible(timeout=3 * SECOND)
    expect(page.locator("#waiting")).to_be_hidden()
    assert views_of(page, "/here") == 1


@contextmanager
def other_site(html: str) -> Iterator[str]:
    """A web server of another origin that answers everything with `html`; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_its_snippet_sends_a_page_view(page: Page, browser: Browser) -> None:
    open_site(page, "localhost")
    snippet = page.locator("#snippet").text_content()
    with (
        other_site(f"<title>Shop</title><body>{snippet}</body>") as url,
        # By its own name this browser is counted as a bot, and as one that is steered.
        browser.new_context(user_agent=WINDOWS) as context,
    ):
        visitor = context.new_page()
        visitor.add_init_script(NOT_STEERED)
        with visitor.expect_response("**/api/v1/track/batch") as sent:
            visitor.goto(f"{url}/shop?secret=1&utm_source=mail")
        assert sent.value.status == 202
    row = page.locator("#pages tr").filter(has=page.get_by_text("/shop", exact=True))
    expect(row).to_be_visible(timeout=2 * SECOND)


def test_it_comes_back_by_itself(page: Page, stack: RunningStack) -> None:
    open_site(page, "localhost")
    stack.kill("web")
    expect(page.locator("#trust-word")).to_contain_text("disconnected", timeout=10 * SECOND)
    expect(page.locator("#trust-word")).to_have_text("live", timeout=40 * SECOND)
    stack.track({"page_url": "/after"})
    row = page.locator("#pages tr").filter(has=page.get_by_text("/after", exact=True))
    expect(row).to_be_visible(timeout=2 * SECOND)


def test_it_says_how_far_behind_it_is(page: Page, stack: RunningStack) -> None:
    import psutil

    open_site(page, "localhost")
    consumer = psutil.Process(stack.pid("consumer"))
    consumer.suspend()
    try:
        expect(page.locator("#trust-word")).to_contain_text("s behind", timeout=12 * SECOND)
    finally:
        consumer.resume()
    expect(page.locator("#trust-word")).to_have_text("live", timeout=30 * SECOND)


def test_it_ends_with_the_login(page: Page, context: BrowserContext, stack: RunningStack) -> None:
    open_site(page, "localhost")
    other = context.new_page()
    other.goto("/")
    other.locator("details.menu summary").last.click()
    other.get_by_role("button", name="Log out").click()
    other.wait_for_url("**/login")
    expect(page.get_by_text("You are logged out")).to_be_visible(timeout=20 * SECOND)
    page.get_by_role("link", name="Log in again").click()
    log_in(page, stack)
    expect(page).to_have_url(re.compile("/sites/localhost/$"))


def test_it_says_that_a_site_is_paused(page: Page, stack: RunningStack) -> None:
    add_site(page, "paused.example")
    open_site(page, "paused.example")
    expect(page.locator("#paused")).to_be_hidden()
    admin = page.context.new_page()
    admin.goto("/admin/ingest/site/?q=paused.example")
    admin.locator("input.action-select").check()
    admin.locator("select[name=action]").select_option("deactivate")
    admin.get_by_role("button", name="Run").or_(admin.get_by_role("button", name="Go")).click()
    expect(page.locator("#paused")).to_be_visible(timeout=4 * SECOND)


def test_it_shows_todays_numbers_without_javascript(
    browser: Browser, stack: RunningStack, page: Page
) -> None:
    stack.track({"page_url": "/today"})
    cookies = page.context.cookies()
    with browser.new_context(base_url=stack.url, java_script_enabled=False) as plain:
        plain.add_cookies(cookies)  # type: ignore[arg-type]  # the stubs tell two alike apart
        page = plain.new_page()
        page.goto("/sites/localhost/")
        today = re.compile(r"Today so far: \d+ views by \d+ people")
        expect(page.get_by_text(today)).to_be_visible()


def test_a_wall_shows_the_same_without_controls(page: Page, stack: RunningStack) -> None:
    stack.track({"page_url": "/wall"})
    open_site(page, "localhost")
    page.locator(".menu").last.locator("summary").click()
    page.get_by_role("link", name="On a wall").click()
    expect(page).to_have_url(re.compile("/wall/localhost$"))
    expect(page.locator("#trust-word")).to_have_text("live", timeout=15 * SECOND)
    before = int(page.locator("[data-figure=views_today]").inner_text().replace(",", ""))
    stack.track({"page_url": "/wall"})
    expect(page.locator("[data-figure=views_today]")).to_have_text(f"{before + 1:,}")
    expect(page.locator("#pages tr").first).to_be_visible()
    expect(page.locator(":is(a, button, select, summary):visible")).to_have_count(0)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080), (3840, 2160)])
def test_a_wall_can_be_read_from_afar(
    page: Page, stack: RunningStack, theme: Any, size: tuple[int, int]
) -> None:
    """Nothing is out of the screen, and no row is smaller than a thirtieth of its height."""
    for n in range(12):
        stack.track({"page_url": f"/wall/{n}"})
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.emulate_media(color_scheme=theme)
    page.goto("/wall/localhost")
    rows = page.locator("#pages tr:visible")
    expect(rows).to_have_count(5)
    page.evaluate("document.getAnimations().forEach((animation) => animation.finish())")
    assert faint_texts(page) == []
    # All at once: while the events are still being counted, the last row can become one of those
    # that are not shown.
    heights = rows.evaluate_all("rows => rows.map((row) => row.getBoundingClientRect().height)")
    assert len(heights) == 5 and min(heights) > size[1] / 30
    for way in ("Width", "Height"):
        root = "document.documentElement"
        assert page.evaluate(f"{root}.scroll{way} - {root}.client{way}") == 0


def test_a_wall_wants_a_login(browser: Browser, stack: RunningStack) -> None:
    with browser.new_context(base_url=stack.url) as context:
        page = context.new_page()
        page.goto("/wall/localhost")
        log_in(page, stack)
        expect(page).to_have_url(re.compile("/wall/localhost$"))
        expect(page.locator("#trust-word")).to_have_text("live", timeout=15 * SECOND)


def test_the_balance_moves_with_an_event(page: Page, stack: RunningStack) -> None:
    stack.track({"page_url": "/balance"})
    open_site(page, "localhost")
    page.locator("#trust summary").click()
    page.get_by_role("link", name="Does everything add up?").click()
    expect(page.locator("#sentence")).to_contain_text("nothing waits", timeout=10 * SECOND)
    read_today = page.locator("[data-rows=days] tbody tr").first.locator("td").first
    before = int(read_today.inner_text().replace(",", ""))
    event = {"page_url": "/balance", "event_id": "the same"}
    stack.track(event)
    stack.track(event)
    expect(read_today).to_have_text(f"{before + 2:,}", timeout=3 * SECOND)
    expect(page.locator("#verdict")).to_have_attribute("data-state", "ok")
    shown = page.locator("#sentence").inner_text()
    numbers = [int(n.replace(",", "")) for n in re.findall(r"[\d,]+(?= \w)", shown)]
    assert numbers[0] == sum(numbers[1:]), shown
    read = page.locator("[data-rows=partitions] tfoot td:nth-child(5)")
    assert read.inner_text() == f"{numbers[0]:,}"


def test_the_balance_says_when_it_is_no_longer_fresh(
    page: Page, context: BrowserContext, stack: RunningStack
) -> None:
    page.goto("/balance")
    context.set_offline(True)
    expect(page.get_by_text("The server does not answer.")).to_be_visible(timeout=5 * SECOND)
    expect(page.locator("#verdict")).to_have_attribute("data-state", "gone")
    context.set_offline(False)
    expect(page.locator("#notice")).to_be_hidden(timeout=5 * SECOND)
    context.clear_cookies()
    expect(page.get_by_text("You are logged out.")).to_be_visible(timeout=5 * SECOND)
    page.get_by_role("link", name="Log in again").click()
    log_in(page, stack)
    expect(page).to_have_url(re.compile("/balance$"))


def test_metrics_are_there_for_prometheus(context: BrowserContext, stack: RunningStack) -> None:
    key = {"Authorization": f"Bearer {stack.credentials['api_key']}"}
    text = context.request.get("/metrics", headers=key).text()
    (up,) = [f for f in text_string_to_metric_families(text) if f.name == "tracker_up"]
    parts = {sample.labels["part"]: sample.value for sample in up.samples}
    assert parts == {"redis": 1, "database": 1, "kafka": 1}


@pytest.mark.parametrize("width", [320, 768, 1440, 2560])
def test_the_balance_fits_every_screen(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto("/balance")
    expect(page.locator("[data-rows=partitions] tbody tr").first).to_be_visible()
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(overflow) == 0


@pytest.mark.parametrize("width", [320, 768, 1440, 2560])
def test_it_fits_every_screen(page: Page, stack: RunningStack, width: int) -> None:
    stack.track({"page_url": "/" + "a-very-long-path/" * 20})
    stack.track({"page_url": "/مرحبا/عالم"})
    page.set_viewport_size({"width": width, "height": 800})
    open_site(page, "localhost")
    expect(page.locator("#pages tr").first).to_be_visible()
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(overflow) == 0
