"""Snowplow's tracker protocol: https://docs.snowplow.io/docs/events/going-deeper/event-parameters.
Pure.

The answers are those of the Stream Collector, which takes whatever it is sent; the header
X-Tracker-Refused says what was not taken. It sets no cookie.
"""

import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from ingest.doors.endpoint import (
    DoorRequest,
    Endpoint,
    Event,
    Headers,
    Outcome,
    Read,
    Reply,
    cors_for_origin,
)
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
from ingest.pixel import GIF
from ingest.refusals import Refusal

_NAMES = {
    "page_url": "url", "site": "aid", "user_id": "uid", "event_id": "eid", "title": "page",
    "referrer": "refr", "screen": "res", "language": "lang", "time_zone": "tz", "timestamp": "ttm",
}  # fmt: skip
_schema = re.compile(r"iglu:[\w.-]+/([\w-]+)/jsonschema/[\d-]+", re.ASCII)
_size = re.compile(r"(\d{1,6})x(\d{1,6})", re.ASCII)
_MOST_QUEUE_MS = 30 * 86_400_000
_PIXEL: Headers = (("Cache-Control", "no-cache, no-store, must-revalidate"),)
Sent = Mapping[str, Any]


def _read_pixel(request: DoorRequest) -> list[Read]:
    return [_event(read_parameters(request.query), request)]


def _read_post(request: DoorRequest) -> list[Read]:
    events = read_object(request.body).get("data")
    if not isinstance(events, list):
        raise Refusal(400, "data", events, "must be an array")
    return [_try_event(mapping(event), request) for event in events]


def _try_event(sent: Sent, request: DoorRequest) -> Read:
    try:
        return _event(sent, request)
    except Refusal as refusal:
        return refusal


def _event(sent: Sent, request: DoorRequest) -> Read:
    kind = text(sent.get("e"))
    happened = _KINDS.get(kind)
    if happened is None:
        raise Refusal(400, "e", kind or None, f"must be one of {', '.join(_KINDS)}")
    user = text(sent.get("uid"))
    fields = fit(
        site=text(sent.get("aid")),
        page_url=text(sent.get("url"), request.headers.get("referer")) or "/",
        event_id=text(sent.get("eid")),
        user_id=user or text(sent.get("duid"), sent.get("tnuid"), sent.get("nuid")),
        title=text(sent.get("page")),
        referrer=text(sent.get("refr")),
        screen=text(sent.get("res")),
        language=text(sent.get("lang")),
        time_zone=text(sent.get("tz")),
        **_moment(sent),
    )
    address, agent = text(sent.get("ip")), text(sent.get("ua"))
    return Event(fields | happened(sent), address, agent, names_browser=not user)


def _moment(sent: Sent) -> dict[str, Any]:
    """The true time, else how long it had waited when it was sent; a clock that is wrong by itself
    tells nothing."""
    true = number(sent.get("ttm"))
    if true is not None:
        return {"timestamp": true}
    made, left = number(sent.get("dtm")), number(sent.get("stm"))
    if made is None or left is None or not 0 <= left - made <= _MOST_QUEUE_MS:
        return {}
    return {"queue_time": int(left - made)}


def _page_view(sent: Sent) -> dict[str, Any]:
    return {"name": "pageview"}


def _page_ping(sent: Sent) -> dict[str, Any]:
    """That the page is still read, and how far down."""
    return engagement(None, _scroll_depth(sent))


def _scroll_depth(sent: Sent) -> float | None:
    """Percent, of the lowest offset, the window's and the document's height."""
    window, document = _height(sent.get("vp")), _height(sent.get("ds"))
    offset = number(sent.get("pp_may"))
    if offset is None or window is None or not document:
        return None
    return round(min(max(100 * (offset + window) / document, 0), 100))


def _height(size: Any) -> int | None:
    match = _size.fullmatch(size) if isinstance(size, str) else None
    return int(match[2]) if match else None


def _structured(sent: Sent) -> dict[str, Any]:
    name = text(sent.get("se_ac"))
    if not name:
        raise Refusal(400, "se_ac", None, "a structured event needs its action")
    told = {
        "category": sent.get("se_ca"), "label": sent.get("se_la"), "property": sent.get("se_pr"),
        "value": sent.get("se_va"),
    }  # fmt: skip
    return fit(name=name, props=props(told))


def _self_describing(sent: Sent) -> dict[str, Any]:
    """Named by its schema, with the properties that it describes."""
    outer = _decoded(sent)
    inner = mapping(outer.get("data"))
    match = _schema.fullmatch(text(inner.get("schema")))
    if match is None:
        raise Refusal(400, "ue_pr", inner.get("schema"), "its schema has no name")
    return fit(name=match[1], props=props(inner.get("data")))


def _decoded(sent: Sent) -> dict[str, Any]:
    plain, packed = sent.get("ue_pr"), sent.get("ue_px")
    try:
        if isinstance(packed, str) and packed:
            return mapping(msgspec.json.decode(urlsafe_b64decode(packed + "=" * 3)))
        return mapping(msgspec.json.decode(plain) if isinstance(plain, str) else plain)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        raise Refusal(400, "ue_px", packed or plain, "it can't be decoded") from None


def _transaction(sent: Sent) -> dict[str, Any]:
    return fit(name="transaction", props=props(_fields_of(sent, "tr_")))


def _transaction_item(sent: Sent) -> dict[str, Any]:
    return fit(name="transaction_item", props=props(_fields_of(sent, "ti_")))


def _fields_of(sent: Sent, prefix: str) -> dict[str, Any]:
    names = {
        "id": "order", "tt": "total", "af": "affiliation", "tx": "tax", "sh": "shipping",
        "cu": "currency", "sk": "sku", "nm": "name", "ca": "category", "pr": "price",
        "qu": "quantity",
    }  # fmt: skip
    return {name: sent.get(prefix + short) for short, name in names.items()}


_KINDS: dict[str, Callable[[Sent], dict[str, Any]]] = {
    "pv": _page_view,
    "pp": _page_ping,
    "se": _structured,
    "ue": _self_describing,
    "tr": _transaction,
    "ti": _transaction_item,
}


def _answer_pixel(request: DoorRequest, outcomes: Sequence[Outcome]) -> Reply:
    return Reply(200, GIF, "image/gif", _PIXEL)


def _answer_post(request: DoorRequest, outcomes: Sequence[Outcome]) -> Reply:
    return Reply(200, b"ok", "text/plain; charset=UTF-8")


def _refuse_pixel(request: DoorRequest, refusal: Refusal) -> Reply:
    return _answer_pixel(request, ())._replace(status=_status(refusal))


def _refuse_post(request: DoorRequest, refusal: Refusal) -> Reply:
    if _status(refusal) == 200:
        return _answer_post(request, ())
    return Reply(refusal.status, refusal.reason.encode(), "text/plain; charset=UTF-8")


def _status(refusal: Refusal) -> int:
    """Clients send again what is answered otherwise, so what is wrong in itself is taken."""
    return 200 if refusal.status < 413 else refusal.status


_endpoint = partial(
    Endpoint,
    names=_NAMES,
    cors=cors_for_origin,
    preflight=(
        ("Access-Control-Allow-Headers", "Content-Type, SP-Anonymous"),
        ("Access-Control-Max-Age", "3600"),
    ),
    preflight_status=200,
)
ENDPOINTS = (
    _endpoint(
        path="com.snowplowanalytics.snowplow/tp2",
        methods=("POST",),
        read=_read_post,
        answer=_answer_post,
        refuse=_refuse_post,
    ),
    _endpoint(
        path="i",
        methods=("GET",),
        read=_read_pixel,
        answer=_answer_pixel,
        refuse=_refuse_pixel,
    ),
)
