"""`POST /api/v1/import`: what is known of events, from who has the tracker's key, nobody else."""

import json
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from django.core.signing import TimestampSigner
from django.test import Client

from ingest.door import Door
from ingest.import_signature import HEADER, MAX_AGE_S, sign
from ingest.models import Site
from tests.conftest import Servers
from tests.ingest.test_track import logged, post

IMPORT = "/api/v1/import"
KNOWN = {
    "country": "US",
    "region": "Texas",
    "browser": "Firefox",
    "browser_version": "121",
    "os": "macOS",
    "os_version": "10.15",
    "device": "desktop",
}
EVENT = {"page_url": "/a", "user_id": "u", "event_id": "e", "known": KNOWN}
BODY = json.dumps({"events": [EVENT]}).encode()


def send(body: Any = BODY, signature: str | None = None, **headers: str) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers |= {HEADER: sign(data) if signature is None else signature}
    return Client().post(IMPORT, data, content_type="application/json", headers=headers)


def test_it_keeps_what_is_known(door: Door, servers: Servers, topic: str) -> None:
    unknown = {"page_url": "/b", "event_id": "f", "user_id": "u"}
    response = send({"events": [EVENT, {"page_url": 5}, unknown]})
    assert response.status_code == 202
    results = response.json()["results"]
    assert [result["status"] for result in results] == ["accepted", "refused", "accepted"]
    by_path = {event.path: event for event in logged(servers, topic)}
    assert {name: getattr(by_path["/a"], name) for name in KNOWN} == KNOWN
    assert {getattr(by_path["/b"], name) for name in KNOWN} == {None}
    assert by_path["/a"].id == "e" and by_path["/a"].retryable


def test_who_sends_it_tells_nothing_of_visitors(
    door: Door, servers: Servers, topic: str, site: Site
) -> None:
    Site.objects.update(internal_addresses="127.0.0.1", honour_opt_out=True)
    headers = {"user_agent": "curl/8.5.0", "x_tracker_internal": "1", "dnt": "1"}
    assert send(**headers).status_code == 202
    (event,) = logged(servers, topic)
    assert (event.bot, event.browser) == (None, "Firefox")


def stale(body: bytes) -> str:
    """Signed long ago."""
    long_ago = time.time() - MAX_AGE_S - 1
    with mock.patch("time.time", lambda: long_ago):
        return sign(body)


# Made when they are sent: a true one is soon too old to show anything.
FORGED: dict[str, Callable[[], str]] = {
    "none": lambda: "",
    "no signature": lambda: "x",
    "nothing signed": lambda: ":",
    "not ASCII": lambda: "\u00e4:b:c",
    "cut": lambda: sign(BODY)[:-1],
    "of another body": lambda: sign(BODY + b" "),
    "stale": lambda: stale(BODY),
    "of no body": lambda: TimestampSigner(salt="ingest.import").sign(""),
    "by another key": lambda: TimestampSigner(key="another", salt="ingest.import").sign(digest()),
    "for another purpose": lambda: TimestampSigner().sign(digest()),
}


def digest() -> str:
    """What of the body is signed."""
    return sign(BODY).split(":")[0]


@pytest.mark.parametrize("forged", FORGED)
def test_a_forged_request_is_refused(door: Door, servers: Servers, topic: str, forged: str) -> None:
    response = send(signature=FORGED[forged]())
    assert (response.status_code, response.json()["error"]["field"]) == (403, HEADER)
    assert "SECRET_KEY" in response.json()["error"]["reason"]
    assert logged(servers, topic) == []


@pytest.mark.parametrize("fields", [{"known": KNOWN}, KNOWN])
def test_the_public_endpoints_know_no_such_fields(
    door: Door, servers: Servers, topic: str, fields: dict[str, Any]
) -> None:
    event = {"page_url": "/a", "user_id": "u"} | fields
    body = json.dumps({"events": [event]})
    assert post(event).status_code == 202
    assert (
        post(body, "/api/v1/track/batch", headers={HEADER: sign(body.encode())}).status_code == 202
    )
    first, second = logged(servers, topic)
    for name in KNOWN:
        assert getattr(first, name) is getattr(second, name) is None


@pytest.mark.parametrize(
    "known",
    [{"country": "Germany"}, {"country": "de"}, {"browser": ""}, {"browser": "x" * 51},
     {"device": "laptop"}, {"bot": "crawler"}, {"path": "/b"}, 5, None],
)  # fmt: skip
def test_it_takes_only_what_enrichment_could_have_said(
    door: Door, servers: Servers, topic: str, known: Any
) -> None:
    response = send({"events": [{"page_url": "/"} | {"known": known}]})
    assert (response.status_code, response.json()["error"]["field"]) == (400, "events")
    assert logged(servers, topic) == []


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"events":[]}', b'{"events":[5]}', b"\xff"])
def test_it_refuses_what_is_no_batch(door: Door, body: bytes) -> None:
    assert send(body).status_code == 400


def test_it_is_only_posted(door: Door) -> None:
    refused = Client().get(IMPORT)
    assert (refused.status_code, refused["Allow"]) == (405, "POST")
    assert "Access-Control-Allow-Origin" not in refused
