"""The steps together: from a request and its sender to fields of the message."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.enrichment.client_hints import ClientHints
from ingest.enrichment.place import PlaceFinder
from ingest.enrichment.place_database import place_file
from ingest.enrichment.steps import Enrichment
from ingest.pageview import PageView, decode, encode
from ingest.sender import Sender
from ingest.track_request import TrackRequest
from tests.ingest.enrichment.test_agent import WINDOWS

PERSON = Sender("91.66.1.1", WINDOWS)
SERVER = Sender("52.95.110.1", "python-requests/2.31")


@pytest.fixture(scope="module")
def enrichment() -> Enrichment:
    return Enrichment(PlaceFinder(place_file("")), frozenset({"spam.example"}))


def enrich(
    enrichment: Enrichment,
    sender: Sender = PERSON,
    rules: str = "",
    networks: str = "",
    **event: Any,
) -> dict[str, Any]:
    """The fields that say something."""
    request = TrackRequest(**({"page_url": "/"} | event))
    told = enrichment.enrich(request, enrichment.of_sender(sender), "example.com", rules, networks)
    fields: dict[str, Any] = {}
    value: Any
    for name, value in msgspec.structs.asdict(told).items():
        fields |= value._asdict() if hasattr(value, "_asdict") else {name: value}
    return {name: value for name, value in fields.items() if value is not None}


def test_it_tells_all_it_can(enrichment: Enrichment) -> None:
    fields = enrich(
        enrichment,
        rules="lower-case\ndrop-slash",
        page_url="https://www.example.com/Pricing/?gclid=secret&utm_campaign=May#top",
        referrer="https://www.google.com/search?q=secret",
        screen="1920x1080",
        language="en_gb",
        time_zone="Europe/Berlin",
    )
    assert fields == {
        "hostname": "www.example.com",
        "path": "/pricing",
        "utm_campaign": "May",
        "source": "Google",
        "channel": "Paid Search",
        "referrer": "https://www.google.com/search",
        "browser": "Chrome",
        "browser_version": "131",
        "os": "Windows",
        "os_version": "10",
        "device": "desktop",
        "country": "DE",
        "region": fields["region"],
        "screen": "1920x1080",
        "screen_class": "desktop",
        "language": "en-GB",
        "time_zone": "Europe/Berlin",
    }
    assert "secret" not in str(fields)


@pytest.mark.parametrize(
    ("sender", "event", "reason"),
    [
        (PERSON, {}, None),
        (PERSON._replace(agent=""), {}, None),
        (PERSON._replace(agent="curl/8.5.0"), {}, "crawler"),
        (PERSON._replace(address="66.249.66.1"), {}, "crawler"),
        (PERSON._replace(address="52.95.110.1"), {}, "datacenter"),
        (PERSON, {"headless": True}, "headless"),
        (PERSON, {"headless": False}, None),
        (PERSON, {"referrer": "https://www.spam.example/x"}, "referrer_spam"),
        (PERSON._replace(internal="1"), {}, "internal"),
        (PERSON._replace(address="203.0.113.7"), {}, "internal"),
        # Who names a user vouches for somebody: a server may.
        (SERVER, {"user_id": "u"}, None),
        (SERVER, {"user_id": "u", "headless": True}, "headless"),
        (SERVER._replace(internal="1"), {"user_id": "u"}, "internal"),
    ],
)
def test_it_says_why_a_page_view_is_a_bots(
    enrichment: Enrichment, sender: Sender, event: dict[str, Any], reason: str | None
) -> None:
    assert enrich(enrichment, sender, networks="203.0.113.0/24", **event).get("bot") == reason


def test_a_servers_browser_and_place_are_not_its_visitors(enrichment: Enrichment) -> None:
    fields = enrich(enrichment, SERVER, user_id="u", language="de")
    assert fields == {"path": "/", "channel": "Direct", "language": "de"}
    importer = PERSON._replace(agent="page-view-tracker")
    assert enrich(enrichment, importer, user_id="u") == {"path": "/", "channel": "Direct"}
    assert enrich(enrichment, PERSON, user_id="u")["country"] == "DE"


def test_it_drops_what_is_no_language_time_zone_or_screen(enrichment: Enrichment) -> None:
    fields = enrich(enrichment, language="?", time_zone="?", screen="?")
    assert {"language", "time_zone", "screen_class"}.isdisjoint(fields)
    assert fields["screen"] == "?"


_texts = st.text(max_size=300)
_hints = st.builds(ClientHints, _texts, _texts, _texts, _texts)


@given(
    st.builds(Sender, _texts, _texts, _hints, _texts),
    st.fixed_dictionaries(
        {},
        optional={
            "referrer": _texts | _texts.map("https://{}".format),
            "screen": st.text(max_size=20),
            "language": st.text(max_size=35),
            "time_zone": st.text(max_size=64),
            "headless": st.booleans(),
            "user_id": st.text(min_size=1),
        },
    ),
    _texts.map(lambda text: text.translate(dict.fromkeys([*range(32), 127]))),
)
def test_whatever_is_sent_is_a_message(
    enrichment: Enrichment, sender: Sender, event: dict[str, Any], path: str
) -> None:
    fields = enrich(enrichment, sender, page_url=f"/{path}", **event)
    message = PageView(id="x", site="s", visitor="v", ts=1, received=1, **fields)
    assert decode(encode(message)).path == fields["path"]
    values = [value for name, value in fields.items() if name not in ("path", "referrer")]
    assert all(len(value) <= 200 for value in values)


@pytest.mark.parametrize(
    ("page", "source"),
    [("/pricing", None), ("https://example.com/", None), ("https://other.example/", "example.com")],
)
def test_a_page_of_the_site_itself_brought_nobody(
    enrichment: Enrichment, page: str, source: str | None
) -> None:
    """A page that names no host is of the site's."""
    told = enrich(enrichment, page_url=page, referrer="https://www.example.com/")
    assert told.get("source") == source
    assert ("channel" in told) == (source is not None)
