"""Plausible's events API: https://plausible.io/docs/events-api. Pure.

The answers are those of `PlausibleWeb.Api.ExternalController`.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from ingest.doors.endpoint import DoorRequest, Endpoint, Event, Outcome, Read, Reply, refusals
from ingest.doors.reading import (
    engagement,
    fit,
    hostname_of,
    mapping,
    number,
    props,
    read_object,
    text,
    with_query,
)
from ingest.refusals import Refusal

_NAMES = {"page_url": "url", "site": "domain", "name": "event_name", "body": "request"}
_MOST_ENGAGEMENT_MS = 30 * 86_400_000


def _read(request: DoorRequest) -> list[Read]:
    event = read_object(request.body)
    url = _value(event, "u", "url")
    if not isinstance(url, str):
        raise Refusal(400, "page_url", url, "is required" if url is None else "must be a valid url")
    domain = _value(event, "d", "domain")
    domains = domain.split(",") if isinstance(domain, str) else [hostname_of(url)]
    fields = _fields(event, url)
    return [Event(fields | {"site": domain.strip().removeprefix("www.")}) for domain in domains]


def _fields(event: dict[str, Any], url: str) -> dict[str, Any]:
    name = text(_value(event, "n", "name"))
    if not name:
        raise Refusal(400, "name", None, "can't be blank")
    hashed = _value(event, "h", "hashMode") in (1, True, "1")
    fields = fit(
        page_url=with_query(_with_fragment(url) if hashed else url, _campaign(event)),
        name=name,
        referrer=text(_value(event, "r", "referrer")),
        props=props(_revenue(event) | mapping(_decoded(_value(event, "m", "meta", "p", "props")))),
        screen=_screen(event),
    )
    return fields | _engagement(event) if name == "engagement" else fields


def _value(event: dict[str, Any], *names: str) -> Any:
    """Of the first name that has one; scripts write short names, people long ones."""
    return next((event[name] for name in names if event.get(name)), None)


def _with_fragment(url: str) -> str:
    """Fragments are pages of such a site."""
    address, _, fragment = url.partition("#")
    path, mark, query = address.partition("?")
    return f"{path.rstrip('/')}/{fragment.lstrip('/')}{mark}{query}" if fragment else url


def _campaign(event: dict[str, Any]) -> dict[str, str]:
    """Scripts of before 2021 told the source by itself."""
    return {"utm_source": text(event.get("source"))}


def _decoded(found: Any) -> Any:
    """Old scripts send the properties as a text of JSON."""
    if not isinstance(found, str):
        return found
    try:
        return msgspec.json.decode(found)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _revenue(event: dict[str, Any]) -> dict[str, Any]:
    revenue = _decoded(_value(event, "$", "revenue"))
    return {"revenue": revenue} if isinstance(revenue, dict) else {}


def _screen(event: dict[str, Any]) -> str:
    """Old scripts tell the window's width."""
    width = number(_value(event, "w", "screen_width"))
    return f"{width:.0f}x0" if width and 0 < width < 100_000 else ""


def _engagement(event: dict[str, Any]) -> dict[str, Any]:
    ms, depth = number(event.get("e")), number(event.get("sd"))
    ms = ms if ms is not None and 0 < ms < _MOST_ENGAGEMENT_MS else None
    depth = min(depth, 100) if depth is not None and depth >= 0 else None
    if ms is None and depth is None:
        raise Refusal(400, "name", "engagement", "an engagement needs a number in “sd” or “e”")
    return engagement(None if ms is None else ms / 1_000, depth)


def _answer(request: DoorRequest, outcomes: Sequence[Outcome]) -> Reply:
    """Events of unknown sites are dropped without an error; what is invalid is one."""
    dropped = refusals(outcomes)
    if not dropped:
        return Reply(202, b"ok", "text/plain; charset=utf-8")
    header = (("X-Plausible-Dropped", str(len(dropped))),)
    invalid = next((refusal for refusal in dropped if refusal.status != 403), None)
    if invalid is not None:
        return _refuse(request, invalid)._replace(headers=header)
    return Reply(202, b"ok", "text/plain; charset=utf-8", header)


def _refuse(request: DoorRequest, refusal: Refusal) -> Reply:
    field = _NAMES.get(refusal.field or "request", refusal.field or "request")
    body = msgspec.json.encode({"errors": {field: [refusal.reason]}})
    return Reply(refusal.status, body, "application/json; charset=utf-8")


ENDPOINTS = (
    Endpoint(
        path="api/event",
        methods=("POST",),
        read=_read,
        answer=_answer,
        refuse=_refuse,
        names=_NAMES,
        preflight=(
            ("Access-Control-Allow-Methods", "GET,POST,PUT,PATCH,DELETE,OPTIONS"),
            ("Access-Control-Allow-Headers", "Authorization,Content-Type,Accept,Origin,User-Agent"),
            ("Access-Control-Max-Age", "1728000"),
        ),
    ),
)
