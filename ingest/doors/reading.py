"""What several doors read alike. Pure."""

import re
from base64 import b64decode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec

from ingest.refusals import Refusal

_MOST_PARAMETERS = 200
_MOST_PROPS = 30
_MOST_PROP_NAME = 100
_MOST_PROP_TEXT = 500
_DEEPEST_PROP = 5
_MOST_INT = 2**53
# Of fields whose beginning is worth keeping; the others are dropped where they are too long.
_CUT = {"title": 1_000, "referrer": 4_096, "name": 100}
_DROPPED = {"screen": 20, "language": 35, "time_zone": 64}


def read_json(body: bytes) -> Any:
    """Raises `Refusal` (400)."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        shown = body[:100].decode(errors="replace")
        raise Refusal(400, "body", shown, f"the body is not readable as JSON: {error}") from None


def read_object(body: bytes) -> dict[str, Any]:
    """Raises `Refusal` (400)."""
    found = read_json(body)
    if not isinstance(found, dict):
        raise Refusal(400, "body", found, "the body must be a JSON object")
    return found


def read_parameters(query: str) -> dict[str, str]:
    """Of a query or a form; what comes twice counts as it came last. Raises `Refusal` (400)."""
    try:
        return dict(parse_qsl(query, max_num_fields=_MOST_PARAMETERS))
    except ValueError:
        reason = f"it has more than {_MOST_PARAMETERS} parameters"
        raise Refusal(400, "query", query, reason) from None


def mapping(value: Any) -> dict[str, Any]:
    """Empty for anything that is no object."""
    return value if isinstance(value, dict) else {}


def text(*values: Any) -> str:
    """The first that is a text or a number and not empty; empty if none is."""
    for value in values:
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return ""


def fit(**fields: Any) -> dict[str, Any]:
    """Fields of our event without those that are empty, and not longer than they may be. An
    address that is wrong stays as it is, to be refused."""
    kept = {name: value for name, value in fields.items() if value not in (None, "", {})}
    for name, most in _CUT.items():
        if isinstance(kept.get(name), str):
            kept[name] = kept[name][:most]
    for name, most in _DROPPED.items():
        if len(kept.get(name, "")) > most:
            del kept[name]
    return kept


def props(values: Any) -> dict[str, Any]:
    """Properties as we keep them, the first 30: what is nested has its path with dots for a name,
    lists are JSON, what is too long is cut. Empty for anything that is no object."""
    kept: dict[str, Any] = {}
    _add_props(kept, "", values, _DEEPEST_PROP)
    return kept


def _add_props(kept: dict[str, Any], prefix: str, values: Any, deepest: int) -> None:
    for name, value in mapping(values).items():
        if len(kept) >= _MOST_PROPS:
            return
        path = f"{prefix}{name}"[:_MOST_PROP_NAME]
        if isinstance(value, dict):
            if deepest:
                _add_props(kept, f"{path}.", value, deepest - 1)
        elif path and value not in (None, "", []):
            kept[path] = _prop(value)


def _prop(value: Any) -> str | int | float | bool:
    if isinstance(value, list):
        value = _as_json(value)
    if isinstance(value, str):
        return value[:_MOST_PROP_TEXT]
    if isinstance(value, int) and not -_MOST_INT <= value <= _MOST_INT:
        return str(value)[:_MOST_PROP_TEXT]
    return value  # type: ignore[no-any-return]  # JSON has no other kinds


def _as_json(value: list[Any]) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except (OverflowError, RecursionError):  # numbers of more than 64 bits; a list in a list in …
        return ""


def absolute(url: str, hostname: str) -> str:
    """A path becomes an address at `hostname`, if that is one."""
    is_path = url.startswith("/") or not url
    return f"https://{hostname}{url or '/'}" if is_path and _is_hostname(hostname) else url or "/"


def _is_hostname(text: str) -> bool:
    return re.fullmatch(r"[\w.-]{1,253}(:\d{1,5})?", text) is not None


def hostname_of(address: str) -> str:
    """Without `www.`; empty where it has none."""
    try:
        return (urlsplit(address).hostname or "").removeprefix("www.")
    except ValueError:
        return ""


def with_query(url: str, values: Mapping[str, str]) -> str:
    """`url` with these parameters, but for those that it has."""
    address, sign, fragment = url.partition("#")
    _, _, query = address.partition("?")
    new = {name: value for name, value in values.items() if value and f"{name}=" not in query}
    if not new:
        return url
    return f"{address}{'&' if query else '?'}{urlencode(new)}{sign}{fragment}"


def credentials(encoded: str) -> tuple[str, str]:
    """User and password of basic auth (RFC 7617), after its name; empty where it is none."""
    try:
        user, _, password = b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return user, password


def milliseconds(moment: Any) -> float | None:
    """Unix ms of ISO 8601 (UTC where it names no offset) or a number of ms; None: neither."""
    if isinstance(moment, int | float) and not isinstance(moment, bool):
        return float(moment)
    if not isinstance(moment, str):
        return None
    try:
        read = datetime.fromisoformat(moment)
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp() * 1_000
    except (ValueError, OverflowError):
        return None


def number(value: Any) -> float | None:
    """What is a finite number, or a text that is one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if abs(found) <= _MOST_INT else None


def engagement(seconds: float | None, scroll_depth: float | None = None) -> dict[str, Any]:
    """The fields of an event that tells how long a page was read, of which one is missing."""
    told = {"seconds": seconds, "scroll_depth": scroll_depth}
    kept = {name: value for name, value in told.items() if value is not None}
    return {"name": "engagement", "props": kept}
