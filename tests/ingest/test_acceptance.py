"""Every field of the message is what it is called."""

import pytest

from ingest.acceptance import Acceptance
from ingest.enrichment.client_hints import NO_HINTS
from ingest.enrichment.place import PlaceFinder
from ingest.enrichment.place_database import place_file
from ingest.enrichment.steps import Enrichment
from ingest.models import Site
from ingest.pageview import PageView
from ingest.sender import Sender
from ingest.sites import SiteDirectory
from ingest.track_request import TrackRequest
from ingest.visitor import VisitorHash
from tests.ingest.enrichment.test_agent import WINDOWS

NOW = 1_795_000_000_000


@pytest.mark.django_db
def test_every_field_is_what_it_is_called() -> None:
    Site.objects.create(public_id="shop.example")
    request = TrackRequest(
        page_url="https://www.shop.example/Sale/?utm_source=s&utm_medium=email&utm_campaign=c"
        "&utm_term=t&utm_content=o",
        site="shop.example",
        event_id="an id",
        name="signup",
        title="A title",
        referrer="https://news.example/x?q",
        timestamp=NOW - 5_000,
        screen="1920x1080",
        language="en-gb",
        time_zone="Europe/Berlin",
        props={"plan": "pro"},
    )
    sender = Sender("91.66.1.1", WINDOWS, NO_HINTS, "yes")
    visitors = VisitorHash("secret", lambda day: day.isoformat().encode())
    enrichment = Enrichment(PlaceFinder(place_file("")), frozenset())
    acceptance = Acceptance(SiteDirectory(0.0), "", visitors, enrichment)
    page_view = acceptance.accept(request, acceptance.of_sender(sender), NOW)
    assert page_view == PageView(
        id="an id",
        retryable=True,
        site="shop.example",
        visitor=page_view.visitor,
        name="signup",
        path="/Sale/",
        hostname="www.shop.example",
        title="A title",
        referrer="https://news.example/x",
        source="s",
        channel="Email",
        utm_source="s",
        utm_medium="email",
        utm_campaign="c",
        utm_term="t",
        utm_content="o",
        country="DE",
        region=page_view.region,
        browser="Chrome",
        browser_version="131",
        os="Windows",
        os_version="10",
        device="desktop",
        screen="1920x1080",
        screen_class="desktop",
        language="en-GB",
        time_zone="Europe/Berlin",
        bot="internal",
        ts=NOW - 5_000,
        received=NOW,
        props={"plan": "pro"},
    )
    assert len(page_view.visitor) == 16
    assert page_view.region
