"""Segment's HTTP API: https://segment.com/docs/connections/sources/catalog/libraries/server/http-api.
Pure.

It answers 200 to whatever is JSON; only the header X-Tracker-Refused says what was not taken.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

import msgspec

from ingest.doors.endpoint import DoorRequest, Endpoint, Event, Outcome, Read, Reply, told
from ingest.doors.reading import (
    credentials,
    fit,
    mapping,
    milliseconds,
    number,
    props,
    read_object,
    text,
    with_query,
)
from ingest.refusals import Refusal

_NAMES = {
    "page_url": "properties.url", "site": "writeKey", "user_id": "userId", "event_id": "messageId",
    "name": "event", "title": "properties.title", "referrer": "properties.referrer",
    "props": "properties",
}  # fmt: skip
# Fields of our event have them already.
_PAGE = {"url", "path", "referrer", "title", "search"}
_CAMPAIGN = {
    "utm_campaign": "name", "utm_source": "source", "utm_medium": "medium", "utm_term": "term",
    "utm_content": "content",
}  # fmt: skip
_MOST_QUEUE_MS = 30 * 86_400_000
_JSON = "application/json"
Sent = Mapping[str, Any]


def _read(kind: str, request: DoorRequest) -> list[Read]:
    sent = read_object(request.body)
    return [_try_event(kind, sent, _write_key(request, sent), sent.get("sentAt"))]


def _read_batch(request: DoorRequest) -> list[Read]:
    sent = read_object(request.body)
    batch = sent.get("batch")
    if not isinstance(batch, list):
        raise Refusal(400, "batch", batch, "must be an array")
    key, sent_at, shared = (
        _write_key(request, sent),
        sent.get("sentAt"),
        mapping(sent.get("context")),
    )
    return [_one_of_batch(message, key, sent_at, shared) for message in batch]


def _one_of_batch(message: Any, key: str, sent_at: Any, shared: Sent) -> Read:
    """`shared` is the context of all."""
    sent = dict(mapping(message))
    sent["context"] = {**shared, **mapping(sent.get("context"))}
    return _try_event(text(sent.get("type")), sent, key, sent_at)


def _try_event(kind: str, sent: Sent, key: str, sent_at: Any) -> Read:
    try:
        return _event(kind, sent, key, sent_at)
    except Refusal as refusal:
        return refusal


def _write_key(request: DoorRequest, sent: Sent) -> str:
    """Of the body, else the user name of the Authorization header."""
    kind, _, value = request.headers.get("authorization", "").strip().partition(" ")
    user, _ = credentials(value) if kind.lower() == "basic" else ("", "")
    key = text(sent.get("writeKey"), user)
    if not key:
        raise Refusal(401, "site", None, "a write key is needed, in the body or by basic auth")
    return key


def _event(kind: str, sent: Sent, key: str, sent_at: Any) -> Read:
    happened = _KINDS.get(kind)
    if happened is None:
        if kind in _NOT_COUNTED:
            return None
        reason = f"must be one of {', '.join((*_KINDS, *_NOT_COUNTED))}"
        raise Refusal(400, "type", kind, reason)
    context = mapping(sent.get("context"))
    user = text(sent.get("userId"))
    fields = fit(
        site=key,
        event_id=text(sent.get("messageId")),
        user_id=user or text(sent.get("anonymousId")),
        screen=_screen(mapping(context.get("screen"))),
        language=text(context.get("locale")),
        time_zone=text(context.get("timezone")),
        **_moment(sent, sent_at),
    )
    address, agent = text(context.get("ip")), text(context.get("userAgent"))
    return Event(fields | happened(sent, context), address, agent, names_browser=not user)


def _moment(sent: Sent, sent_at: Any) -> dict[str, Any]:
    """By how long ago it was when it was sent, so that a wrong clock does not matter."""
    moment = sent.get("timestamp") or sent.get("originalTimestamp")
    happened, left = milliseconds(moment), milliseconds(sent_at or sent.get("sentAt"))
    if happened is not None and left is not None and 0 <= left - happened <= _MOST_QUEUE_MS:
        return {"queue_time": int(left - happened)}
    return {"timestamp": moment if isinstance(moment, str | int | float) else None}


def _page(sent: Sent, context: Sent) -> dict[str, Any]:
    told = mapping(sent.get("properties"))
    name = text(sent.get("name"), told.get("name"))
    extra = {key: value for key, value in told.items() if key not in _PAGE}
    return fit(
        page_url=_page_url(told, context, f"/{quote(name)}"),
        title=text(told.get("title"), name, mapping(context.get("page")).get("title")),
        referrer=_referrer(told, context),
        props=props(extra | {"category": text(sent.get("category"), told.get("category"))}),
    )


def _track(sent: Sent, context: Sent) -> dict[str, Any]:
    name = text(sent.get("event"))
    if not name:
        raise Refusal(400, "name", None, "a track call needs the name of its event")
    return fit(
        page_url=_page_url({}, context, "/"),
        name=name,
        title=text(mapping(context.get("page")).get("title")),
        referrer=_referrer({}, context),
        props=props(sent.get("properties")),
    )


def _page_url(told: Sent, context: Sent, otherwise: str) -> str:
    """The page's address, or its path; servers often know neither."""
    page = mapping(context.get("page"))
    url = text(told.get("url"), told.get("path"), page.get("url"), page.get("path"))
    campaign = mapping(context.get("campaign"))
    utm = {name: text(campaign.get(of)) for name, of in _CAMPAIGN.items()}
    return with_query(url or otherwise, utm)


def _referrer(told: Sent, context: Sent) -> str:
    found = mapping(context.get("referrer")).get("url")
    return text(told.get("referrer"), mapping(context.get("page")).get("referrer"), found)


def _screen(screen: Sent) -> str:
    width, height = number(screen.get("width")), number(screen.get("height"))
    return f"{width:.0f}x{height:.0f}" if width and height else ""


_KINDS: dict[str, Callable[[Sent, Sent], dict[str, Any]]] = {"page": _page, "track": _track}
# Who somebody is, and the screens of apps: nothing that happened on a page.
_NOT_COUNTED = ("identify", "group", "alias", "screen")


def _answer(request: DoorRequest, outcomes: Sequence[Outcome]) -> Reply:
    return Reply(200, b'{"success":true}', _JSON)


def _refuse(request: DoorRequest, refusal: Refusal) -> Reply:
    """Clients look for `code` and `message`."""
    body = {
        "success": False, "code": _code(refusal.status), "message": told(refusal, _NAMES),
    }  # fmt: skip
    return Reply(refusal.status, msgspec.json.encode(body), _JSON)


def _code(status: int) -> str:
    return {400: "invalid_request", 401: "unauthorized"}.get(status, "not_accepted")


_endpoint = partial(
    Endpoint,
    methods=("POST",),
    answer=_answer,
    refuse=_refuse,
    names=_NAMES,
    preflight=(
        ("Access-Control-Allow-Methods", "POST, OPTIONS"),
        ("Access-Control-Allow-Headers", "Authorization, Content-Type, X-Retry-Count"),
        ("Access-Control-Max-Age", "86400"),
    ),
)
# Scripts in browsers ask for the first letter only.
ENDPOINTS = (
    _endpoint(path="v1/batch", read=_read_batch),
    _endpoint(path="v1/b", read=_read_batch),
    *(
        _endpoint(path=f"v1/{path}", read=partial(_read, kind))
        for kind in (*_KINDS, *_NOT_COUNTED)
        for path in (kind, kind[0])
    ),
)
