"""How many events an answer says are in Kafka: at least, and at most."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.hostile.hostile_requests import Request
from tests.hostile.wire import Answer

ANY = 1_000_000


class Accepted(NamedTuple):
    """`receipts` with their event ids, where the answer has them."""

    least: int
    most: int
    receipts: tuple[tuple[str, str], ...] = ()


NONE = Accepted(0, 0)


def accepted(request: Request, answer: Answer) -> Accepted:
    path = request.target.partition(b"?")[0]
    if answer.status == 503:
        return Accepted(0, ANY)
    if path.startswith((b"/api/v1/track", b"/api/v1/import")):
        return _ours(path, request.method, answer)
    told = _DOORS.get(path, _nothing)
    if request.method not in ("GET", "POST"):
        return NONE
    return told(answer)


def _ours(path: bytes, method: str, answer: Answer) -> Accepted:
    """Receipts tell it exactly."""
    if path == b"/api/v1/track.gif":
        taken = int(method == "GET" and answer.status == 200)
        return Accepted(taken, taken)
    if answer.status != 202:
        return NONE
    told = json.loads(answer.body)
    results = told.get("results", [told])
    receipts = [(one["receipt"], one["id"]) for one in results if one["status"] == "accepted"]
    assert told.get("accepted", 1) == len(receipts), "results do not add up"
    return Accepted(len(receipts), len(receipts), tuple(receipts))


def _nothing(answer: Answer) -> Accepted:
    return NONE


def _plausible(answer: Answer) -> Accepted:
    """One for each domain; some may be taken where others are refused."""
    if answer.status == 202:
        return Accepted(int(not answer.header("x-plausible-dropped")), ANY)
    return Accepted(0, ANY if answer.header("x-plausible-dropped") else 0)


def _one(answer: Answer) -> Accepted:
    """At most one, and exactly one unless nothing was refused because there was nothing."""
    refused = answer.status >= 300 or answer.header("x-tracker-refused")
    return NONE if refused else Accepted(0, 1)


def _surely_one(answer: Answer) -> Accepted:
    return _one(answer)._replace(least=_one(answer).most)


def _umami_batch(answer: Answer) -> Accepted:
    return Accepted(0, _json(answer)["processed"]) if answer.status == 200 else NONE


def _goatcounter_api(answer: Answer) -> Accepted:
    if answer.status == 202:
        return Accepted(1, ANY)
    return Accepted(0, ANY) if answer.header("x-tracker-refused") else NONE


def _matomo(answer: Answer) -> Accepted:
    if answer.header("content-type") == "application/json":
        return Accepted(0, _json(answer).get("tracked", 0))
    return Accepted(0, ANY) if answer.status == 204 else _one(answer)


def _many(answer: Answer) -> Accepted:
    return Accepted(0, ANY) if answer.status < 300 else NONE


def _json(answer: Answer) -> Any:
    return json.loads(answer.body)


_DOORS: dict[bytes, Callable[[Answer], Accepted]] = {
    b"/api/event": _plausible,
    b"/api/send": _one,
    b"/api/batch": _umami_batch,
    b"/count": _surely_one,
    b"/api/v0/count": _goatcounter_api,
    b"/matomo.php": _matomo,
    b"/piwik.php": _matomo,
    b"/v1/page": _surely_one,
    b"/v1/p": _surely_one,
    b"/v1/track": _surely_one,
    b"/v1/t": _surely_one,
    b"/v1/batch": _many,
    b"/v1/b": _many,
    b"/com.snowplowanalytics.snowplow/tp2": _many,
    b"/i": _surely_one,
    b"/mp/collect": _many,
}
