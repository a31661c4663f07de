"""What all doors do alike: they promise what is safe, and nothing crashes them."""

import gzip
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from django.conf import settings as django_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.delivery import ProducerSettings
from ingest.door import Door, Limits
from ingest.doors.endpoint import DoorRequest, Endpoint
from ingest.doors.endpoints import ENDPOINTS
from ingest.doors.runner import Answered, TrackerDoors, preflight
from ingest.models import Site
from ingest.producer import PageViewProducer
from ingest.rate_limit import TokenBuckets
from ingest.sender import Sender
from tests.ingest.accepting import acceptance_of
from tests.ingest.doors.tracker_door import CHROME, SITE, WEBSITE, TrackerDoor

pytestmark = [pytest.mark.xdist_group("doors"), pytest.mark.any_database]

# One valid request of each: path, query, body.
VALID: list[tuple[str, str, Any]] = [
    ("api/event", "", {"n": "pageview", "u": "https://shop.example/", "d": SITE}),
    ("api/send", "", {"type": "event", "payload": {"website": SITE, "url": "/"}}),
    ("api/batch", "", [{"type": "event", "payload": {"website": SITE, "url": "/"}}]),
    ("count", "p=/", None),
    ("api/v0/count", "", {"hits": [{"path": "/", "session": "s"}]}),
    ("matomo.php", f"idsite={SITE}&rec=1", None),
    ("matomo.php", "", {"requests": [f"?idsite={SITE}&rec=1"]}),
    ("v1/page", "", {"writeKey": SITE, "properties": {"url": "/"}}),
    ("v1/track", "", {"writeKey": SITE, "event": "e"}),
    ("v1/batch", "", {"writeKey": SITE, "batch": [{"type": "page"}]}),
    ("com.snowplowanalytics.snowplow/tp2", "", {"data": [{"e": "pv", "aid": SITE}]}),
    ("i", f"e=pv&aid={SITE}", None),
    ("mp/collect", f"measurement_id={SITE}", {"events": [{"name": "page_view"}]}),
]
SENDER = Sender("203.0.113.7", CHROME)
HEADERS = {"authorization": f"Bearer {SITE}", "host": SITE, "origin": "https://shop.example"}


def endpoint_of(path: str) -> Endpoint:
    (found,) = [endpoint for endpoint in ENDPOINTS if endpoint.path == path]
    return found


def request_of(endpoint: Endpoint, query: str, body: Any) -> DoorRequest:
    data = b"" if body is None else json.dumps(body).encode()
    method = "GET" if body is None and "GET" in endpoint.methods else "POST"
    return DoorRequest(method, query, data, HEADERS)


@pytest.fixture
def no_kafka(db: None) -> Iterator[PageViewProducer]:
    """A producer whose Kafka does not answer."""
    producer = PageViewProducer(ProducerSettings("127.0.0.1:1", "pageviews", 1, 200, 1_000, 64))
    Site.objects.create(public_id=SITE)
    Site.objects.create(public_id=django_settings.DEFAULT_SITE)
    yield producer
    producer.close()


def doors_of(producer: PageViewProducer, limits: Limits | None = None) -> TrackerDoors:
    return TrackerDoors(Door(acceptance_of(SITE), producer, limits), 100_000)


def answer(doors: TrackerDoors, path: str, query: str, body: Any) -> Answered:
    endpoint = endpoint_of(path)
    read = doors.read(endpoint, request_of(endpoint, query, body), SENDER)
    return read if isinstance(read, Answered) else doors.door.deliver_and_wait(read)


def test_every_endpoint_is_here() -> None:
    tested = {path for path, _, _ in VALID}
    aliases = {"piwik.php", "v1/p", "v1/t", "v1/b"}
    nothing = {
        f"v1/{kind}" for kind in ["identify", "group", "alias", "screen", "i", "g", "a", "s"]
    }
    assert {endpoint.path for endpoint in ENDPOINTS} == tested | aliases | nothing


@pytest.mark.parametrize(("path", "query", "body"), VALID)
def test_it_never_calls_safe_what_kafka_does_not_have(
    no_kafka: PageViewProducer, path: str, query: str, body: Any
) -> None:
    told = answer(doors_of(no_kafka), path, query, body)
    assert (told.status, told.reply.status) == (503, 503)
    assert ("Retry-After", "2") in told.reply.headers


@pytest.mark.parametrize(("path", "query", "body"), VALID)
@pytest.mark.parametrize("limited", ["address", "site"])
def test_it_heeds_the_limits(
    no_kafka: PageViewProducer, limited: str, path: str, query: str, body: Any
) -> None:
    bucket = TokenBuckets(1, 1, lambda: 0.0)
    bucket.take(SENDER.address if limited == "address" else SITE)
    doors = doors_of(no_kafka, Limits(**{limited: bucket}))
    told = answer(doors, path, query, body)
    assert (told.status, told.reply.status) == (429, 429)
    assert ("Retry-After", "1") in told.reply.headers


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.path)
def test_pages_of_every_origin_may_send(endpoint: Endpoint) -> None:
    reply = preflight(endpoint, DoorRequest("OPTIONS", "", b"", HEADERS))
    assert reply.status in (200, 204)
    assert dict(reply.headers)["Access-Control-Allow-Origin"] in ("*", HEADERS["origin"])


# --- Whatever anybody may send ----------------------------------------------------------

texts = st.text(max_size=20)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
)
# What the doors look at somewhere.
NAMES = [
    "n", "u", "d", "r", "w", "h", "p", "m", "$", "source", "e", "sd", "v", "type",
    "payload", "website", "url", "hostname", "title", "referrer", "screen", "name", "data",
    "tag", "ip", "userAgent", "timestamp", "id", "engagement", "lcp", "path", "event",
    "ref", "size", "query", "bot", "session", "hits", "user_agent", "created_at",
    "no_sessions", "idsite", "rec", "action_name", "urlref", "_id", "uid", "cdt", "cdo",
    "res", "lang", "e_c", "e_a", "link", "download", "search", "idgoal", "ec_id", "c_n",
    "ping", "ca", "cvar", "dimension1", "requests", "send_image", "writeKey", "userId",
    "anonymousId", "messageId", "properties", "context", "batch", "sentAt", "page",
    "campaign", "locale", "timezone", "aid", "eid", "duid", "tz", "dtm", "stm", "ttm",
    "ue_px", "ue_pr", "se_ac", "pp_may", "vp", "ds", "events", "params", "client_id",
    "user_id", "timestamp_micros", "device", "items",
]  # fmt: skip
objects = st.dictionaries(st.sampled_from(NAMES), values, max_size=8)


def changed(valid: Any, change: dict[str, Any]) -> Any:
    """A valid request with these fields in it, wherever it has objects."""
    if isinstance(valid, dict):
        return {name: changed(value, change) for name, value in valid.items()} | change
    return [changed(value, change) for value in valid] if isinstance(valid, list) else valid


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    valid=st.sampled_from(VALID),
    change=objects,
    query=st.dictionaries(st.sampled_from(NAMES), texts, max_size=6),
    body=st.none() | values.map(json.dumps).map(str.encode) | st.binary(max_size=60),
    zipped=st.booleans(),
)
def test_nothing_crashes_it(
    door: TrackerDoor,
    valid: tuple[str, str, Any],
    change: dict[str, Any],
    query: dict[str, str],
    body: bytes | None,
    zipped: bool,
) -> None:
    """Every answer is one of those that its clients know, and what is logged can be read."""
    path, fixed, right = valid
    sent = body if body is not None else json.dumps(changed(right, change)).encode()
    asked = f"/{path}?{fixed}&{urlencode(query)}"
    headers = {"authorization": "Bearer gc-token"}
    if zipped:
        sent, headers = gzip.compress(sent), headers | {"content_encoding": "gzip"}
    said = door.ask(asked, sent, **headers) if right is not None else door.get(asked, **headers)
    assert said.status in (200, 202, 204, 400, 401, 403, 414), said
    door.skip()


def test_what_was_sent_can_be_read(door: TrackerDoor) -> None:
    assert door.ask("/api/send", {"type": "event", "payload": {"website": WEBSITE}}).status == 200
    door.check_event({"path": "/"})
