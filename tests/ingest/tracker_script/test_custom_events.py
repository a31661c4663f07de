"""`window.track` and `data-track`."""

import pytest
from playwright.sync_api import Page

from tests.ingest.tracker_script.tracked_site import TrackedSite, ready, visit

# One server for all of them.
pytestmark = [pytest.mark.xdist_group("tracker script"), pytest.mark.any_database]


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
