"""GoatCounter's pixel and API: https://www.goatcounter.com/help/api. Pure.

The answers are those of `handlers/count.go` and `handlers/api.go`. There a site is told by the
host that is asked, or by the API token; here host and token are aliases of the site.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from ingest.doors.endpoint import (
    DoorRequest,
    Endpoint,
    Event,
    Headers,
    Outcome,
    Read,
    Reply,
    in_header,
    refusals,
    told,
)
from ingest.doors.reading import (
    absolute,
    credentials,
    fit,
    hostname_of,
    mapping,
    number,
    read_object,
    read_parameters,
    text,
    with_query,
)
from ingest.pixel import GIF
from ingest.refusals import Refusal

_NAMES = {"page_url": "path", "name": "path", "user_id": "session", "timestamp": "created_at"}
_MOST_HITS = 500
_MOST_PATH = 2_048
# From here on the script says that a program steers the browser; below are the server's reasons.
_FIRST_SCRIPT_BOT = 150
_JSON = "application/json; charset=utf-8"
_IMAGE: Headers = (
    ("Cache-Control", "no-store,no-cache"),
    ("Cross-Origin-Resource-Policy", "cross-origin"),
)


def _read_count(request: DoorRequest) -> list[Read]:
    sent = read_parameters(request.query)
    page = request.headers.get("referer", "")
    hit = {
        "path": sent.get("p"), "title": sent.get("t"), "ref": sent.get("r"), "event": sent.get("e"),
        "size": sent.get("s"), "query": sent.get("q"), "bot": sent.get("b"),
    }  # fmt: skip
    event = _event(hit, page)
    event.fields.update(fit(language=_language(request.headers.get("accept-language", ""))))
    host = request.headers.get("host", "").partition(":")[0].lower()
    return [event._replace(sites=(host, hostname_of(page)))]


def _event(hit: Mapping[str, Any], page: str = "") -> Event:
    """`page` is the address of the page, as far as it is known."""
    path = text(hit.get("path"))
    if not path:
        raise Refusal(400, "page_url", None, "must be set")
    if len(path) > _MOST_PATH:
        reason = f"is longer than {_MOST_PATH} characters ({len(path)})"
        raise Refusal(414, "page_url", path, reason)
    bot = number(hit.get("bot")) or 0
    if 0 < bot < _FIRST_SCRIPT_BOT:
        raise Refusal(400, "bot", bot, f"must be 0 or at least {_FIRST_SCRIPT_BOT}")
    is_event = hit.get("event") in (True, 1, "1", "true", "on", "yes")
    where = page or "/" if is_event else absolute(f"/{path.lstrip('/')}", _authority(page))
    fields = fit(
        page_url=with_query(where, dict(_parameters(text(hit.get("query"))))),
        name=path.lstrip("/") or "(no event name)" if is_event else "pageview",
        title=text(hit.get("title")),
        referrer=text(hit.get("ref")),
        screen=_screen(hit.get("size")),
        headless=True if bot else None,
    )
    return Event(fields)


def _authority(page: str) -> str:
    """Host and port of an address."""
    return page.partition("://")[2].partition("/")[0].partition("?")[0]


def _parameters(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query.lstrip("?"), max_num_fields=200)
    except ValueError:
        return []


def _screen(size: Any) -> str:
    """Of “1920,1080,2” or [1920, 1080, 2], which are width, height and scale."""
    parts = size.split(",") if isinstance(size, str) else size if isinstance(size, list) else []
    numbers = [number(part) for part in parts[:2]]
    if len(numbers) < 2 or not all(numbers):
        return ""
    return "x".join(f"{value:.0f}" for value in numbers)


def _language(accepted: str) -> str:
    """The first of Accept-Language."""
    return re.split("[,;]", accepted, maxsplit=1)[0].strip()


def _answer_count(request: DoorRequest, outcomes: Sequence[Outcome]) -> Reply:
    refused = refusals(outcomes)
    return _refuse_count(request, refused[0]) if refused else _image(200)


def _refuse_count(request: DoorRequest, refusal: Refusal) -> Reply:
    """Browsers show nothing of it, so the reason is in a header."""
    said = in_header(told(refusal, _NAMES))
    return _image(refusal.status, (("X-Goatcounter", f"not valid: {said}"),))


def _image(status: int, headers: Headers = ()) -> Reply:
    return Reply(status, GIF, "image/gif", (*_IMAGE, *headers))


def _read_api(request: DoorRequest) -> list[Read]:
    token = _token(request.headers.get("authorization", ""))
    sent = read_object(request.body)
    hits = sent.get("hits")
    if not isinstance(hits, list) or not hits:
        raise Refusal(400, None, None, "no hits")
    if len(hits) > _MOST_HITS:
        reason = f"maximum amount of pageviews in one batch is {_MOST_HITS}"
        raise Refusal(400, None, None, reason)
    return [_hit(mapping(hit), token, bool(sent.get("no_sessions"))) for hit in hits]


def _hit(hit: Mapping[str, Any], token: str, no_sessions: bool) -> Read:
    session, address, agent = (text(hit.get(name)) for name in ("session", "ip", "user_agent"))
    if not (session or (address and agent) or no_sessions):
        reason = "neither session nor browser and IP are set; send no_sessions to do without"
        return Refusal(400, "session", None, reason)
    try:
        event = _event(hit)
    except Refusal as refusal:
        return refusal
    event.fields.update(fit(site=token, user_id=session, timestamp=text(hit.get("created_at"))))
    return event._replace(address=address, agent=agent, names_browser=True)


def _token(authorization: str) -> str:
    kind, _, value = authorization.strip().partition(" ")
    if kind == "Basic":
        _, value = credentials(value)
    elif kind != "Bearer":
        value = ""
    if not value.strip():
        reason = "no Authorization header of the form “Bearer <token>”"
        raise Refusal(401, "Authorization", None, reason)
    return value.strip()


def _answer_api(request: DoorRequest, outcomes: Sequence[Outcome]) -> Reply:
    errors = {
        str(index): told(outcome, _NAMES)
        for index, outcome in enumerate(outcomes)
        if isinstance(outcome, Refusal)
    }
    if not errors:
        return Reply(202, b'{"status":"ok"}', _JSON)
    if any((refusal.field, refusal.status) == ("site", 403) for refusal in refusals(outcomes)):
        return _refuse_api(request, Refusal(401, None, None, "unknown token"))
    return Reply(400, msgspec.json.encode({"errors": errors}), _JSON)


def _refuse_api(request: DoorRequest, refusal: Refusal) -> Reply:
    realm = (("WWW-Authenticate", "Basic realm=GoatCounter"),) if refusal.status == 401 else ()
    return Reply(
        refusal.status, msgspec.json.encode({"error": told(refusal, _NAMES)}), _JSON, realm
    )


ENDPOINTS = (
    Endpoint(
        path="count",
        methods=("GET", "POST"),
        read=_read_count,
        answer=_answer_count,
        refuse=_refuse_count,
        names=_NAMES,
        preflight=(("Access-Control-Allow-Methods", "GET, POST"),),
    ),
    Endpoint(
        path="api/v0/count",
        methods=("POST",),
        read=_read_api,
        answer=_answer_api,
        refuse=_refuse_api,
        names=_NAMES,
        preflight=(
            ("Access-Control-Allow-Methods", "POST"),
            ("Access-Control-Allow-Headers", "Authorization, Content-Type"),
        ),
    ),
)
