"""Who does not want to be counted, who has no JavaScript, and scripts that are pinned by a hash."""

from typing import Any

import pytest
from playwright.sync_api import Browser, Route

from dashboard.snippet import pinned_options, pinned_snippet_of
from ingest.models import Site
from tests.ingest.tracker_script.tracked_site import BATCH, TrackedSite, ready, visit
from tests.processing.pipeline import wait_for
from tests.tracker_site.web import Web

# One server for all of them.
pytestmark = [pytest.mark.xdist_group("tracker script"), pytest.mark.any_database]


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
