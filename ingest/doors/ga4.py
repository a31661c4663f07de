"""GA4's Measurement Protocol:
https://developers.google.com/analytics/devguides/collection/protocol/ga4/reference. Pure.

It answers 204 to everything; the header X-Tracker-Refused says what was not taken.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ingest.doors.endpoint import DoorRequest, Endpoint, Event, Outcome, Read, Reply
from ingest.doors.reading import (
    engagement,
    fit,
    mapping,
    number,
    props,
    read_object,
    read_parameters,
    text,
)
from ingest.refusals import Refusal

_NAMES = {
    "page_url": "params.page_location", "site": "measurement_id", "title": "params.page_title",
    "referrer": "params.page_referrer", "timestamp": "timestamp_micros", "name": "events.name",
    "user_id": "client_id", "props": "params",
}  # fmt: skip
_MOST_EVENTS = 25
# Fields of our event have them already, or they are of no use here.
_NO_PROPS = {
    *("page_location", "page_title", "page_referrer", "language", "screen_resolution"),
    *("session_id", "session_number", "engagement_time_msec", "debug_mode"),
}
Sent = Mapping[str, Any]


def _read(request: DoorRequest) -> list[Read]:
    query = read_parameters(request.query)
    stream = text(query.get("measurement_id"), query.get("firebase_app_id"))
    if not stream:
        raise Refusal(400, "site", None, "is needed, in the query")
    sent = read_object(request.body)
    events = sent.get("events")
    if not isinstance(events, list) or not 1 <= len(events) <= _MOST_EVENTS:
        raise Refusal(400, "events", events, f"must be an array of 1 to {_MOST_EVENTS} events")
    return [_event(mapping(event), sent, stream) for event in events]


def _event(event: Sent, sent: Sent, stream: str) -> Read:
    name = text(event.get("name"))
    if not name:
        return Refusal(400, "name", None, "an event needs a name")
    params, device = mapping(event.get("params")), mapping(sent.get("device"))
    user = text(sent.get("user_id"))
    fields = fit(
        site=stream,
        page_url=text(params.get("page_location")) or "/",
        user_id=user or text(sent.get("client_id"), sent.get("app_instance_id")),
        title=text(params.get("page_title")),
        referrer=text(params.get("page_referrer")),
        screen=text(params.get("screen_resolution"), device.get("screen_resolution")),
        language=text(params.get("language"), device.get("language")),
        timestamp=_milliseconds(event.get("timestamp_micros") or sent.get("timestamp_micros")),
    )
    address, agent = text(sent.get("ip_override")), text(sent.get("user_agent"))
    return Event(fields | _happened(name, params), address, agent, names_browser=not user)


def _milliseconds(micros: Any) -> float | None:
    found = number(micros)
    return None if found is None else found / 1_000


def _happened(name: str, params: Sent) -> dict[str, Any]:
    if name == "user_engagement":
        ms = number(params.get("engagement_time_msec"))
        return engagement(None if ms is None else ms / 1_000)
    told = {key: value for key, value in params.items() if key not in _NO_PROPS}
    return fit(name="pageview" if name == "page_view" else name, props=props(told))


def _answer(request: DoorRequest, outcomes: Sequence[Outcome]) -> Reply:
    return Reply(204)


def _refuse(request: DoorRequest, refusal: Refusal) -> Reply:
    """What is wrong in itself is not told; what may be sent again is."""
    return Reply(204 if refusal.status < 413 else refusal.status)


ENDPOINTS = (
    Endpoint(
        path="mp/collect",
        methods=("POST",),
        read=_read,
        answer=_answer,
        refuse=_refuse,
        names=_NAMES,
        preflight=(
            ("Access-Control-Allow-Methods", "POST"),
            ("Access-Control-Allow-Headers", "Content-Type"),
        ),
    ),
)
