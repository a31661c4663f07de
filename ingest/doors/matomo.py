"""Matomo's tracking API: https://developer.matomo.org/api-reference/tracking-api. Pure.

The answers are those of `core/Tracker/Response.php` and `plugins/BulkTracking`.
"""

import re
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
    refusals,
)
from ingest.doors.reading import (
    fit,
    mapping,
    number,
    props,
    read_object,
    read_parameters,
    text,
    with_query,
)
from ingest.pixel import GIF
from ingest.refusals import Refusal

_NAMES = {
    "page_url": "url", "site": "idsite", "title": "action_name", "referrer": "urlref",
    "user_id": "uid", "timestamp": "cdt", "screen": "res", "language": "lang",
}  # fmt: skip
_ABOUT = b"This address takes the page views of Matomo's scripts and clients.\n"
_dimension = re.compile(r"dimension\d{1,3}")
Sent = Mapping[str, Any]


def _read(request: DoorRequest) -> list[Read]:
    if _is_bulk(request):
        return [_try_event(sent, request) for sent in _bulk(request.body)]
    sent = _parameters(request)
    return [_event(sent, request)] if sent else []


def _is_bulk(request: DoorRequest) -> bool:
    return request.method == "POST" and b'"requests"' in request.body


def _bulk(body: bytes) -> list[Any]:
    found = read_object(body).get("requests")
    if not isinstance(found, list):
        raise Refusal(400, "requests", found, "must be an array")
    return found


def _parameters(request: DoorRequest) -> dict[str, str]:
    """What the query says counts more than the form; scripts send it as whatever type."""
    form = request.body.decode(errors="replace").strip() if request.method == "POST" else ""
    return read_parameters(form) | read_parameters(request.query)


def _try_event(sent: Any, request: DoorRequest) -> Read:
    """One of a bulk: an address with a query, or its parameters as an object."""
    try:
        if isinstance(sent, str):
            return _event(read_parameters(sent.partition("?")[2].partition("#")[0]), request)
        return _event(mapping(sent), request)
    except Refusal as refusal:
        return refusal


def _event(sent: Sent, request: DoorRequest) -> Read:
    site = text(sent.get("idsite"))
    if not site:
        raise Refusal(400, "site", None, "is needed")
    if text(sent.get("rec")) != "1":
        # Matomo answers such a request like any other, and keeps nothing of it.
        return Refusal(200, "rec", sent.get("rec"), "must be 1")
    happened = _happened(sent)
    if happened is None:
        return None
    user = text(sent.get("uid"))
    url = text(sent.get("url"), request.headers.get("referer")) or "/"
    fields = fit(
        site=site,
        page_url=with_query(url, _campaign(sent)),
        user_id=user or text(sent.get("cid"), sent.get("_id")),
        title=text(sent.get("action_name")),
        referrer=text(sent.get("urlref")),
        screen=text(sent.get("res")),
        language=text(sent.get("lang")).partition(",")[0],
        **_moment(sent),
    )
    happened["props"] = props(_own_dimensions(sent) | happened.get("props", {}))
    address, agent = text(sent.get("cip")), text(sent.get("ua"))
    return Event(fields | fit(**happened), address, agent, names_browser=not user)


def _campaign(sent: Sent) -> dict[str, str]:
    return {"utm_campaign": text(sent.get("_rcn")), "utm_term": text(sent.get("_rck"))}


def _moment(sent: Sent) -> dict[str, Any]:
    """When it happened: a date and time or Unix seconds, or how many seconds ago."""
    ago = number(sent.get("cdo"))
    if ago is not None:
        return {"queue_time": int(ago * 1_000)}
    moment = text(sent.get("cdt"))
    seconds = number(moment)
    return {"timestamp": moment if seconds is None else seconds}


def _happened(sent: Sent) -> dict[str, Any] | None:
    """Name and properties by what kind of action it is; None: nothing that we count."""
    for name, translate in _ACTIONS.items():
        if text(sent.get(name)):
            return translate(sent)
    return {"name": "pageview"}


def _custom(name: str, **parameters: str) -> Callable[[Sent], dict[str, Any]]:
    """An event with these properties, each from the parameter that it names."""

    def translate(sent: Sent) -> dict[str, Any]:
        return {"name": name, "props": {key: sent.get(of) for key, of in parameters.items()}}

    return translate


def _event_action(sent: Sent) -> dict[str, Any]:
    told = {"category": sent.get("e_c"), "label": sent.get("e_n"), "value": sent.get("e_v")}
    return {"name": text(sent.get("e_a"), sent.get("e_c")), "props": told}


def _content(sent: Sent) -> dict[str, Any]:
    kind = "content_interaction" if text(sent.get("c_i")) else "content_impression"
    told = {"content": sent.get("c_n"), "piece": sent.get("c_p"), "target": sent.get("c_t")}
    return {"name": kind, "props": told | {"interaction": sent.get("c_i")}}


def _goal(sent: Sent) -> dict[str, Any]:
    if text(sent.get("idgoal")) != "0":
        return {"name": "goal", "props": {n: sent.get(of) for n, of in _GOAL.items()}}
    name = "ecommerce_order" if text(sent.get("ec_id")) else "ecommerce_cart"
    return {"name": name, "props": {n: sent.get(of) for n, of in _ORDER.items()}}


def _nothing(sent: Sent) -> None:
    """Custom actions of plugins, such as played media."""


_GOAL = {"goal": "idgoal", "revenue": "revenue"}
_ORDER = {"order": "ec_id", "revenue": "revenue", "tax": "ec_tx", "shipping": "ec_sh"}
# The first parameter that is there tells the kind.
_ACTIONS: dict[str, Callable[[Sent], dict[str, Any] | None]] = {
    "ping": lambda sent: {"name": "engagement"},
    "e_c": _event_action,
    "e_a": _event_action,
    "link": _custom("outbound_link", url="link"),
    "download": _custom("file_download", url="download"),
    "search": _custom("site_search", term="search", category="search_cat", results="search_count"),
    "c_n": _content,
    "idgoal": _goal,
    "ca": _nothing,
}


def _own_dimensions(sent: Sent) -> dict[str, Any]:
    """The site's own dimensions and custom variables."""
    found = {name: value for name, value in sent.items() if _dimension.fullmatch(name)}
    for pair in _variables(sent.get("cvar")):
        if isinstance(pair, list) and len(pair) == 2 and text(pair[0]):
            found[text(pair[0])] = pair[1]
    return found


def _variables(found: Any) -> list[Any]:
    """Of `{"1": ["name", "value"], …}`, which queries hold as a text."""
    if isinstance(found, str):
        try:
            found = msgspec.json.decode(found)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return []
    return list(mapping(found).values())


def _answer(request: DoorRequest, outcomes: Sequence[Outcome]) -> Reply:
    refused = refusals(outcomes)
    if _is_bulk(request):
        return _tell_bulk(request, outcomes)
    if not outcomes:
        return Reply(200 if request.method == "GET" else 400, _ABOUT, "text/plain")
    return _refuse(request, refused[0]) if refused else _image(request, 200)


def _tell_bulk(request: DoorRequest, outcomes: Sequence[Outcome]) -> Reply:
    if text(read_object(request.body).get("send_image")) == "0":
        return Reply(204)
    invalid = len(refusals(outcomes))
    counts = {"status": "success", "tracked": len(outcomes) - invalid, "invalid": invalid}
    return Reply(200, msgspec.json.encode(counts), "application/json")


def _refuse(request: DoorRequest, refusal: Refusal) -> Reply:
    """A pixel like any other, but for its status."""
    # A site that is unknown is a bad request there.
    status = 400 if (refusal.field, refusal.status) == ("site", 403) else refusal.status
    if _is_bulk(request):
        counts = {"status": "error", "tracked": 0, "invalid": 0}
        return Reply(status, msgspec.json.encode(counts), "application/json")
    return _image(request, status)


def _image(request: DoorRequest, status: int) -> Reply:
    """Scripts that can see the status ask for no image."""
    try:
        wants_none = _parameters(request).get("send_image") == "0"
    except Refusal:
        wants_none = False
    if not wants_none:
        return Reply(status, GIF, "image/gif")
    return Reply(204 if status == 200 else status)


def _cors(request: DoorRequest) -> Headers:
    return () if request.method == "GET" else cors_for_origin(request)


_endpoint = partial(
    Endpoint,
    methods=("GET", "POST"),
    read=_read,
    answer=_answer,
    refuse=_refuse,
    names=_NAMES,
    cors=_cors,
    preflight=(
        ("Access-Control-Allow-Methods", "GET, POST"),
        ("Access-Control-Allow-Headers", "*, Content-Type"),
    ),
)
# The second is its name of before 2018, which many scripts still ask for.
ENDPOINTS = tuple(_endpoint(path=path) for path in ("matomo.php", "piwik.php"))
