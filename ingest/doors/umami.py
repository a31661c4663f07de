"""Umami's collection endpoints: https://umami.is/docs/api/sending-stats. Pure.

The answers are those of `src/app/api/send/route.ts` and `src/app/api/batch/route.ts`.
"""

import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from ingest.doors.endpoint import DoorRequest, Endpoint, Event, Outcome, Read, Reply, told
from ingest.doors.reading import (
    absolute,
    engagement,
    fit,
    mapping,
    number,
    props,
    read_json,
    read_object,
    text,
)
from ingest.pageview import PageView
from ingest.refusals import Refusal

_JSON = "application/json"
_NAMES = {
    **{name: f"payload.{name}" for name in ("title", "referrer", "name", "timestamp", "screen")},
    "page_url": "payload.url",
    "site": "payload.website",
    "user_id": "payload.id",
    "props": "payload.data",
}
_CODES = {
    400: "bad-request",
    403: "forbidden",
    413: "payload-too-large",
    429: "too-many-requests",
    503: "service-unavailable",
}
_VITALS = ("ttfb", "fcp", "lcp", "inp", "cls")
# Sessions' names are made in it.
_SESSIONS = uuid.UUID("6e1f2a8c-5c0f-4d6f-9f0c-6f6f8d5c1b57")


def _read_send(request: DoorRequest) -> list[Read]:
    return [_event(read_object(request.body))]


def _read_batch(request: DoorRequest) -> list[Read]:
    events = read_json(request.body)
    if not isinstance(events, list):
        raise Refusal(400, "body", events, "the body must be an array")
    return [_event_or_refusal(event) for event in events]


def _event_or_refusal(event: Any) -> Read:
    try:
        return _event(mapping(event))
    except Refusal as refusal:
        return refusal


def _event(sent: Mapping[str, Any]) -> Read:
    payload = mapping(sent.get("payload"))
    website = text(payload.get("website"), payload.get("pixel"), payload.get("link"))
    if not website:
        raise Refusal(400, "site", None, "one of website, link or pixel is needed")
    kind = sent.get("type")
    if kind == "identify":
        return None  # who somebody is, and nothing that happened
    happened = _KINDS.get(kind if isinstance(kind, str) else "")
    if happened is None:
        raise Refusal(400, "type", kind, f"must be one of {', '.join(_KINDS)}, identify")
    return Event(
        {**_common(payload), "site": website.lower(), **happened(payload)},
        text(payload.get("ip")),
        text(payload.get("userAgent")),
    )


def _common(payload: Mapping[str, Any]) -> dict[str, Any]:
    hostname = text(payload.get("hostname"))
    url = payload.get("url")
    if not isinstance(url, str | None):
        raise Refusal(400, "page_url", url, "must be a text")
    return fit(
        page_url=absolute(url or "", hostname),
        user_id=text(payload.get("id")),
        title=text(payload.get("title")),
        referrer=_referrer(text(payload.get("referrer")), hostname),
        screen=text(payload.get("screen")),
        language=text(payload.get("language")),
        timestamp=number(payload.get("timestamp")),
    )


def _referrer(referrer: str, hostname: str) -> str:
    return absolute(referrer, hostname) if referrer.startswith("/") else referrer


def _happened(payload: Mapping[str, Any]) -> dict[str, Any]:
    """A page view, or with a name a custom event."""
    told = {"tag": payload.get("tag"), **mapping(payload.get("data"))}
    return fit(name=text(payload.get("name")), props=props(told))


def _performance(payload: Mapping[str, Any]) -> dict[str, Any]:
    measured = {name: number(payload.get(name)) for name in _VITALS}
    return fit(name="web_vitals", props=props(measured))


def _engagement(payload: Mapping[str, Any]) -> dict[str, Any]:
    ms = number(payload.get("engagement"))
    return engagement(None if ms is None else ms / 1_000)


_KINDS = {"event": _happened, "performance": _performance, "engagement": _engagement}


def _answer_send(request: DoorRequest, outcomes: Sequence[Outcome]) -> Reply:
    (outcome,) = outcomes
    if isinstance(outcome, Refusal):
        return _refuse(request, outcome)
    if outcome is not None and outcome.bot is not None:
        return _json(200, {"beep": "boop"})
    return _json(200, _session(outcome))


def _session(event: PageView | None) -> dict[str, str]:
    """Names of session and visit, that can't be traced back to the visitor; scripts send `cache`
    with what they send next."""
    visitor = f"{event.site}:{event.visitor}" if event is not None else "nobody"
    session = str(uuid.uuid5(_SESSIONS, visitor))
    return {"cache": session, "sessionId": session, "visitId": session}


def _answer_batch(request: DoorRequest, outcomes: Sequence[Outcome]) -> Reply:
    errors = [
        {"index": index, "response": _error(outcome)}
        for index, outcome in enumerate(outcomes)
        if isinstance(outcome, Refusal)
    ]
    size = len(outcomes)
    counts = {"size": size, "processed": size - len(errors), "errors": len(errors)}
    return _json(200, {**counts, "details": errors})


def _refuse(request: DoorRequest, refusal: Refusal) -> Reply:
    return _json(_status(refusal), _error(refusal))


def _status(refusal: Refusal) -> int:
    """A site that is unknown is a bad request there."""
    return 400 if (refusal.field, refusal.status) == ("site", 403) else refusal.status


def _error(refusal: Refusal) -> dict[str, Any]:
    message = told(refusal, _NAMES)
    if refusal.field == "site" and refusal.status == 403:
        message = f"Website not found. {message}"
    status = _status(refusal)
    return {"error": {"message": message, "code": _CODES.get(status, ""), "status": status}}


def _json(status: int, value: Mapping[str, Any]) -> Reply:
    return Reply(status, msgspec.json.encode(value), _JSON, (("Cache-Control", "no-cache"),))


_endpoint = partial(
    Endpoint,
    methods=("POST",),
    refuse=_refuse,
    names=_NAMES,
    preflight=(
        ("Access-Control-Allow-Methods", "GET, DELETE, POST, PUT"),
        ("Access-Control-Allow-Headers", "*"),
        ("Access-Control-Max-Age", "86400"),
    ),
)
ENDPOINTS = (
    _endpoint(path="api/send", read=_read_send, answer=_answer_send),
    _endpoint(path="api/batch", read=_read_batch, answer=_answer_batch),
)
