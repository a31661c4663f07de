"""A site's numbers as people see them, of a period and now: a whole stack and a real browser."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.dashboard.contrast import faint_texts
from tests.dashboard.watching import SECOND, add_site, log_in, open_site
from tests.ingest.enrichment.test_agent import WINDOWS
from tests.stack import RunningStack

# One server for all of them.
pytestmark = pytest.mark.xdist_group("period page")
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
RENEWED = 15 * SECOND
# An address of a provider for homes in Germany, and one in France.
GERMANY, FRANCE = "84.128.0.1", "90.0.0.1"


@pytest.fixture(scope="module", autouse=True)
def traffic(stack: RunningStack) -> None:
    """Two people of two countries; a sign-up."""
    send(stack, "v1", "/start", GERMANY, referrer="https://www.google.com/search")
    send(stack, "v1", "/pricing", GERMANY, referrer="http://localhost/start")
    send(stack, "v1", "/pricing", GERMANY, name="signup", props={"plan": "pro"})
    send(stack, "v2", "/start", FRANCE, referrer="https://news.ycombinator.com/")
    for n in range(12):
        send(stack, "v2", f"/docs/{n}", FRANCE)


def send(stack: RunningStack, user: str, path: str, address: str, **fields: Any) -> None:
    event = {"user_id": user, "page_url": f"http://localhost{path}", **fields}
    stack.track(event, **{"User-Agent": WINDOWS, "X-Forwarded-For": address})


@pytest.fixture(autouse=True)
def silence(context: BrowserContext) -> Iterator[list[str]]:
    """Errors in the browser's console fail the test; one that expects some empties the list."""
    errors: list[str] = []
    context.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    yield errors
    assert errors == []


def ask(stack: RunningStack, endpoint: str) -> Any:
    return stack.get(f"/api/v1/stats/localhost/{endpoint}")


def rows(table: Locator) -> list[tuple[str, str]]:
    """Name and first number of each row."""
    names = [name.strip() for name in table.locator("tbody th").all_text_contents()]
    return list(zip(names, table.locator("tbody td:nth-child(2)").all_text_contents(), strict=True))


def table_of(page: Page, dimension: str) -> Locator:
    return page.locator(f'[data-dimension="{dimension}"]')


def tab(page: Page, name: str) -> Locator:
    return page.get_by_role("tab", name=name, exact=True)


def test_it_shows_what_the_api_says(page: Page, stack: RunningStack) -> None:
    open_site(page, "localhost", "?period=today")
    totals = ask(stack, "totals")
    for name in ("pageviews", "visitors", "visits", "bots"):
        expect(page.locator(f"[data-figure={name}]")).to_have_text(str(totals[name]))
    for dimension in ("page", "entry_page", "source", "device", "event"):
        top = ask(stack, f"top?dimension={dimension}&limit=10")
        shown = [(row["value"].lower(), str(row[top["metric"]])) for row in top["results"]]
        assert [(name.lower(), n) for name, n in rows(table_of(page, dimension))] == shown


def test_it_goes_on_by_itself(page: Page, stack: RunningStack) -> None:
    open_site(page, "localhost", "?period=7d")
    views = page.locator("[data-figure=pageviews]")
    before = int(views.inner_text())
    send(stack, "v3", "/new", GERMANY)
    expect(views).to_have_text(str(before + 1), timeout=RENEWED)


def test_it_names_countries(page: Page) -> None:
    open_site(page, "localhost", "?period=today")
    names = [name for name, _ in rows(table_of(page, "country"))]
    assert sorted(names) == ["France", "Germany"]


def test_it_remembers_the_tab(page: Page, stack: RunningStack) -> None:
    open_site(page, "localhost", "?period=today")
    expect(table_of(page, "browser")).to_be_hidden()
    tab(page, "Devices").press("ArrowRight")
    expect(tab(page, "Browsers")).to_be_focused()
    expect(tab(page, "Browsers")).to_have_attribute("aria-selected", "true")
    expect(table_of(page, "browser")).to_be_visible()
    expect(table_of(page, "device")).to_be_hidden()
    before = int(page.locator("[data-figure=pageviews]").inner_text())
    send(stack, "v3", "/new", GERMANY)
    expect(page.locator("[data-figure=pageviews]")).to_have_text(str(before + 1), timeout=RENEWED)
    expect(tab(page, "Browsers")).to_be_focused()
    page.reload()
    expect(table_of(page, "browser")).to_be_visible()
    tab(page, "Browsers").press("Home")
    expect(table_of(page, "device")).to_be_visible()


def test_a_click_shows_a_rows_own_chart(page: Page) -> None:
    open_site(page, "localhost", "?period=today")
    table_of(page, "page").get_by_role("link", name="/start").click()
    expect(page).to_have_url(re.compile(r"\?period=today&dimension=page&value=%2Fstart$"))
    chart = page.get_by_role("img", name=re.compile(r"^\d+ from 00:00 to "))
    expect(chart).to_be_visible()
    page.get_by_role("link", name="Page: /start").click()
    expect(page).to_have_url(re.compile(r"\?period=today$"))


def test_a_click_on_a_property_shows_its_values(page: Page) -> None:
    open_site(page, "localhost", "?period=today")
    tab(page, "Properties").click()
    table_of(page, "prop").get_by_role("link", name="plan").click()
    expect(table_of(page, "prop:plan").get_by_role("link", name="pro")).to_be_visible()
    page.get_by_role("link", name="All panels").click()
    expect(tab(page, "Pages")).to_be_visible()


def test_its_chart_can_be_read_by_keys(page: Page) -> None:
    open_site(page, "localhost", "?period=today")
    page.locator("#chart").press("ArrowRight")
    expect(page.get_by_role("status").filter(has_text="00:00 · ")).to_have_count(1)


def test_the_period_is_chosen_in_the_top_line(page: Page) -> None:
    open_site(page, "localhost")
    page.get_by_role("link", name="30d").click()
    expect(page.get_by_role("link", name="30d")).to_have_attribute("aria-current", "page")
    page.get_by_text("Custom", exact=True).click()
    page.locator("[name=from]").fill("2026-11-01")
    page.locator("[name=to]").fill("2026-11-03")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile(r"\?from=2026-11-01&to=2026-11-03$"))
    expect(page.locator("summary[aria-current]")).to_have_text("1–3 Nov 2026")
    expect(page.locator("[data-figure=pageviews]")).to_have_text("0")
    expect(page.get_by_text("None in this period.").first).to_be_visible()


def test_another_site_keeps_the_period(page: Page) -> None:
    add_site(page, "second.example")
    open_site(page, "localhost", "?period=7d")
    page.locator("#site-switch").select_option("second.example")
    expect(page).to_have_url(re.compile(r"/sites/second\.example/\?period=7d$"))
    expect(page.get_by_text("No page view has come yet.")).to_be_visible()


def test_it_says_that_it_is_disconnected(
    page: Page, context: BrowserContext, silence: list[str]
) -> None:
    open_site(page, "localhost", "?period=today")
    context.set_offline(True)
    expect(page.locator("#trust-word")).to_contain_text("disconnected", timeout=RENEWED)
    context.set_offline(False)
    expect(page.locator("#trust-word")).to_have_text("live", timeout=RENEWED)
    silence.clear()


def test_it_ends_with_the_login(page: Page, context: BrowserContext, stack: RunningStack) -> None:
    open_site(page, "localhost", "?period=7d")
    context.clear_cookies()
    expect(page.get_by_text("You are logged out.")).to_be_visible(timeout=RENEWED)
    page.get_by_role("link", name="Log in again").click()
    log_in(page, stack)
    expect(page).to_have_url(re.compile(r"/sites/localhost/\?period=7d$"))


def test_it_needs_no_javascript(page: Page, browser: Browser, stack: RunningStack) -> None:
    cookies = page.context.cookies()
    with browser.new_context(base_url=stack.url, java_script_enabled=False) as plain:
        plain.add_cookies(cookies)  # type: ignore[arg-type]  # the stubs tell two alike apart
        page = plain.new_page()
        page.goto("/sites/localhost/")
        page.get_by_role("link", name="Today", exact=True).click()
        expect(page.locator("[data-figure=visitors]")).to_have_text(re.compile(r"^\d+$"))
        for dimension in ("page", "entry_page", "exit_page", "browser", "country"):
            expect(table_of(page, dimension)).to_be_visible()
        expect(page.get_by_role("tab").first).to_be_hidden()
        expect(page.get_by_text("Reload for newer ones.")).to_be_visible()


def test_it_tells_who_is_here_now(page: Page, stack: RunningStack) -> None:
    send(stack, "v1", "/start", GERMANY)
    send(stack, "v2", "/start", FRANCE)
    open_site(page, "localhost")
    here = ask(stack, "now")
    countries = {row["country"]: row["visitors"] for row in here["countries"]}
    expect(row_of(page, "countries", "Germany")).to_have_text(str(countries["DE"]))
    expect(row_of(page, "countries", "France")).to_have_text(str(countries["FR"]))
    expect(row_of(page, "sources", "Google")).to_have_text("1")
    expect(row_of(page, "sources", "Hacker News")).to_have_text("1")


def row_of(page: Page, body: str, name: str) -> Locator:
    row = page.locator(f"#{body} tr").filter(has=page.get_by_text(name, exact=True))
    return row.locator("td")


def test_its_feed_waits_for_who_reads_it(page: Page, stack: RunningStack) -> None:
    open_site(page, "localhost")
    send(stack, "v1", "/one", GERMANY, name="signup")
    newest = page.locator("#feed li").first
    expect(newest).to_contain_text("signup /one", timeout=3 * SECOND)
    expect(newest).to_contain_text("Germany · Chrome on Windows")
    fed = [event["path"] for event in ask(stack, "now")["feed"][:20]]
    assert page.locator("#feed .what bdi").all_inner_texts() == fed
    before = int(page.locator("[data-figure=views_today]").inner_text())
    newest.hover()
    expect(page.locator("#feed-held")).to_be_visible()
    send(stack, "v1", "/two", GERMANY)
    expect(page.locator("[data-figure=views_today]")).to_have_text(str(before + 1))
    expect(newest).to_contain_text("/one")
    page.mouse.move(0, 0)
    expect(newest).to_contain_text("/two", timeout=3 * SECOND)


@pytest.mark.parametrize("width", [320, 768, 1440, 2560])
@pytest.mark.parametrize("query", ["", "?period=30d"])
def test_it_fits_every_screen(page: Page, stack: RunningStack, width: int, query: str) -> None:
    send(stack, "v1", "/" + "a-very-long-path/" * 20, GERMANY)
    send(stack, "v1", "/مرحبا/عالم", GERMANY)
    page.set_viewport_size({"width": width, "height": 800})
    open_site(page, "localhost", query)
    expect(page.get_by_text("Germany", exact=True)).to_be_visible()
    page.get_by_text("Custom", exact=True).click()
    expect(page.locator("[name=from]")).to_be_in_viewport(ratio=1)
    assert page.evaluate(OVERFLOW) == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    "query", ["", "?period=today", "?period=today&dimension=page&value=/start"]
)
def test_its_text_can_be_read(page: Page, theme: Any, query: str) -> None:
    page.emulate_media(color_scheme=theme)
    open_site(page, "localhost", query)
    expect(page.get_by_text("Germany", exact=True)).to_be_visible()
    page.evaluate("document.getAnimations().forEach((animation) => animation.finish())")
    assert faint_texts(page) == []


def test_nothing_moves_for_who_wants_it_still(page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")
    open_site(page, "localhost")
    bar = page.locator("#pages th").first
    assert bar.evaluate("(bar) => getComputedStyle(bar).transitionProperty") == "none"


def test_it_prints_everything_in_ink(page: Page) -> None:
    page.emulate_media(color_scheme="dark", media="print")
    open_site_in_print(page)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    for dimension in ("page", "entry_page", "exit_page"):
        expect(table_of(page, dimension)).to_be_visible()
    expect(page.get_by_role("tab").first).to_be_hidden()


def open_site_in_print(page: Page) -> None:
    """Paper says nothing of how fresh the page is."""
    page.goto("/sites/localhost/?period=today")
    expect(page.locator("#chart[data-drawn]")).to_be_visible()
