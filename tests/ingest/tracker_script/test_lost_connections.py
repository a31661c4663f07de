"""No event is lost, none is counted twice."""

import pytest
from playwright.sync_api import BrowserContext, Error, Page, Route

from tests.ingest.tracker_script.tracked_site import BATCH, TrackedSite, visit
from tests.processing.pipeline import wait_for

# One server for all of them.
pytestmark = [pytest.mark.xdist_group("tracker script"), pytest.mark.any_database]

MINUTE = 60_000


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
    # What is routed goes on only while Playwright is asked for something.
    with page.expect_response(BATCH):
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
