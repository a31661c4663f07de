"""The JSON API: what the counts are, how old they are, and that they add up."""

import re
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any

import pyarrow as pa
import redis
from django.db import OperationalError
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import APIException, NotFound
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from dashboard.authentication import ApiKeyAuthentication, require_any_site, require_reader
from dashboard.balance import STATES, read_balance, read_site_balance
from dashboard.models import ApiKey
from ingest.models import Site
from ingest.refusals import ERROR_SCHEMA, Refusal
from ingest.too_large import HEAD_TOO_LARGE
from processing.aggregation import CATEGORIES, EXPIRED, HOLES
from processing.calendar import read_day, today
from processing.history_stats import DAY, INTERVALS
from processing.ledger_stats import SITE_CATEGORIES
from processing.log import LogUnavailable
from processing.object_store import ArchiveUrlError
from processing.receipts import OUTCOMES, Place, Receipts, UnknownReceipt
from processing.stats import Stats, now_ms

MOST_DAYS = 3_660
MOST_PAGES = 1_000
USUAL_LIMIT = 100
# Eighteen digits fit into 64 bits.
_RECEIPT = re.compile("([0-9]{1,9})-([0-9]{1,18})")
_TOPIC_ID = re.compile("[A-Za-z0-9_-]{22}")


@cache
def stats() -> Stats:
    """The one reader of this process."""
    return Stats.from_settings()


@cache
def receipts() -> Receipts:
    """The same for receipts."""
    return Receipts.from_settings()


class Away(APIException):
    """Raised with the name of the part that does not answer."""

    status_code = 503
    wait = 5

    def __init__(self, part: str) -> None:
        super().__init__(f"{part} does not answer. Try again in a few seconds.")


class HasReader(IsAuthenticated):
    """An API key or a logged-in user."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.auth, ApiKey) or super().has_permission(request, view)


@dataclass(frozen=True)
class Days:
    """A span of a site's own days, both ends included."""

    first: date
    last: date


def read_days(request: Request, site: Site) -> Days:
    """`from` and `to`, by default today. Raises `Refusal`."""
    now = today(site.time_zone, now_ms())
    last = _read_day(request, "to", now)
    first = _read_day(request, "from", last)
    if first > last:
        raise Refusal(400, "from", str(first), f"lies after “to”, {last}")
    if (last - first).days >= MOST_DAYS:
        raise Refusal(
            400, "from", str(first), f"more than {MOST_DAYS} days before “to”; ask for less"
        )
    return Days(first, last)


def _read_day(request: Request, name: str, default: date) -> date:
    text = request.query_params.get(name)
    if not text:
        return default
    try:
        return read_day(text)
    except ValueError:
        raise Refusal(400, name, text, "not a day; write YYYY-MM-DD") from None


def read_limit(request: Request) -> int:
    text = request.query_params.get("limit") or str(USUAL_LIMIT)
    if not re.fullmatch(r"\d{1,4}", text) or not 1 <= int(text) <= MOST_PAGES:
        raise Refusal(400, "limit", text, f"must be a whole number from 1 to {MOST_PAGES}")
    return int(text)


def read_interval(request: Request) -> str:
    text = request.query_params.get("interval") or DAY
    if text not in INTERVALS:
        raise Refusal(400, "interval", text, f"must be one of {', '.join(INTERVALS)}")
    return text


def read_place(request: Request, receipt: str) -> Place:
    """Where the receipt says that the event is. Raises `Refusal`."""
    parts, log = _RECEIPT.fullmatch(receipt), request.query_params.get("log")
    if parts is None:
        raise Refusal(400, "receipt", receipt, "not a receipt; write it as it was given: 3-0")
    if log is not None and _TOPIC_ID.fullmatch(log) is None:
        raise Refusal(400, "log", log, "not a topic id; write its 22 characters as in the ledger")
    return Place(int(parts[1]), int(parts[2]), log)


class ReadEndpoint(APIView):
    authentication_classes = [ApiKeyAuthentication, SessionAuthentication]
    permission_classes = [HasReader]

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, redis.RedisError):
            exc = Away("The live store")
        elif isinstance(exc, OperationalError):
            exc = Away("The database")
        elif isinstance(exc, LogUnavailable):
            exc = Away("Kafka")
        elif isinstance(exc, OSError | pa.ArrowException | ArchiveUrlError):
            exc = Away("The archive")
        return super().handle_exception(exc)

    @staticmethod
    def site(request: Request, public_id: str) -> Site:
        """The site, if it exists and may be read: who may not know of it gets 403 either way."""
        # PostgreSQL refuses to look for a text with NUL instead of not finding it.
        site = None if "\0" in public_id else Site.objects.filter(public_id=public_id).first()
        require_reader(request, site)
        if site is None:
            raise NotFound(f"No site {public_id!r}.")
        return site


AS_OF = {
    "type": "object",
    "required": ["at", "through", "age_seconds", "lag", "state"],
    "properties": {
        "at": {"type": "string", "format": "date-time"},
        "through": {"type": ["string", "null"], "format": "date-time"},
        "age_seconds": {"type": ["number", "null"]},
        "lag": {"type": ["integer", "null"]},
        "state": {"type": "string", "enum": ["live", "behind", "rebuilding", "unknown"]},
        "rebuilt": {"type": "number", "description": "0 to 1; only while rebuilding."},
    },
}


def response_of(**fields: Any) -> dict[str, Any]:
    """All of them are always there."""
    properties = {**fields, "as_of": AS_OF}
    return {"type": "object", "required": list(properties), "properties": properties}


def answers(schema: dict[str, Any]) -> dict[int, OpenApiResponse]:
    """What an endpoint that reads may answer."""
    refusals = {
        400: "A parameter is wrong; names field, value and reason.",
        401: "There is no API key, or it is unknown or revoked.",
        403: "The key, or the user, may not read that.",
        404: "It does not exist.",
        406: "The answer is JSON, and Accept does not name it.",
        431: HEAD_TOO_LARGE,
        503: "A part that is needed does not answer; see Retry-After.",
    }
    described = {code: OpenApiResponse(ERROR_SCHEMA, what) for code, what in refusals.items()}
    return {200: OpenApiResponse(schema), **described}


COUNT = {"type": "integer"}
COUNT_OR_NULL = {"type": ["integer", "null"]}
TIME_OR_NULL = {"type": ["string", "null"], "format": "date-time"}
TEXT = {"type": "string"}
TEXT_OR_NULL = {"type": ["string", "null"]}


def list_of(**fields: Any) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "object", "properties": fields}}


DAYS = [
    OpenApiParameter(
        "from", OpenApiTypes.DATE, description="First day, the site's own. Default: “to”."
    ),
    OpenApiParameter("to", OpenApiTypes.DATE, description="Last day. Default: today."),
]
LIMIT = OpenApiParameter(
    "limit", {"type": "integer", "minimum": 1, "maximum": MOST_PAGES, "default": USUAL_LIMIT}
)


class ReceiptView(ReadEndpoint):
    @extend_schema(
        summary="What became of one event",
        description="`receipt` is what `track` answered. Where the topic was made again, `log` "
        "names the log that it is of.",
        parameters=[
            OpenApiParameter("receipt", str, "path", pattern=f"^{_RECEIPT.pattern}$"),
            OpenApiParameter(
                "log",
                str,
                pattern=f"^{_TOPIC_ID.pattern}$",
                description="Topic id. Default: the present.",
            ),
        ],
        responses=answers(
            response_of(
                receipt=TEXT,
                log=TEXT,
                logged={"type": "boolean"},
                outcome={"type": "string", "enum": list(OUTCOMES)},
                reason=TEXT,
                site=TEXT_OR_NULL,
                event_id=TEXT_OR_NULL,
                path=TEXT_OR_NULL,
                archived={
                    "type": ["object", "null"],
                    "properties": {"object": TEXT, "row": COUNT},
                },
            )
        ),
    )
    def get(self, request: Request, receipt: str) -> Response:
        place = read_place(request, receipt)
        require_any_site(request)
        try:
            fate = receipts().find(place)
        except UnknownReceipt as error:
            raise NotFound(str(error)) from None
        site = None if fate.site is None else Site.objects.filter(public_id=fate.site).first()
        # What can't be read, or is of a site that is gone, is for who may read every site.
        require_reader(request, site)
        return Response({**fate.as_json(), "as_of": stats().as_of(now_ms())})


_CATEGORIES = dict.fromkeys(("read", *CATEGORIES, EXPIRED, HOLES, "archived_rows"), COUNT)
_SITE_CATEGORIES = dict.fromkeys(("read", *SITE_CATEGORIES), COUNT)
_STATE = {"type": "string", "enum": list(STATES)}
_BALANCE = response_of(
    topic=TEXT,
    topic_id={"type": ["string", "null"]},
    partitions=list_of(
        partition=COUNT,
        log_end=COUNT_OR_NULL,
        marker=COUNT,
        lag=COUNT_OR_NULL,
        in_flight=COUNT,
        archived_to=COUNT,
        **_CATEGORIES,
    ),
    totals={"type": "object", "properties": _CATEGORIES},
    earlier_logs={"type": "object", "properties": _CATEGORIES},
    archive=list_of(state=TEXT, segments=COUNT, events=COUNT, oldest=TIME_OR_NULL),
    verdict={
        "type": "object",
        "properties": {
            "state": _STATE,
            "sentence": TEXT,
            "sentence_state": _STATE,
            "remarks": list_of(state=_STATE, sentence=TEXT),
        },
    },
)
_SITE_BALANCE = response_of(
    site=TEXT,
    time_zone=TEXT,
    days=list_of(day={"type": "string", "format": "date"}, **_SITE_CATEGORIES),
    totals={"type": "object", "properties": _SITE_CATEGORIES},
)


class LedgerView(ReadEndpoint):
    @extend_schema(
        summary="The balance: read = counted + duplicate + bot + late + invalid + forgotten",
        description="Of the whole log, by partition; with `site`, of that site's days, by the "
        "day of arrival, for which a key that is limited to the site is enough.",
        parameters=[OpenApiParameter("site", str, description="A site's id."), *DAYS],
        responses=answers({"oneOf": [_BALANCE, _SITE_BALANCE]}),
    )
    def get(self, request: Request) -> Response:
        public_id = request.query_params.get("site")
        if public_id:
            return Response(self._of_site(request, self.site(request, public_id)))
        require_reader(request, None)
        for name in ("from", "to"):
            if text := request.query_params.get(name):
                raise Refusal(400, name, text, "only a site's balance has days; name the “site”")
        return Response(read_balance(stats(), now_ms()))

    @staticmethod
    def _of_site(request: Request, site: Site) -> dict[str, Any]:
        days = read_days(request, site)
        return read_site_balance(stats(), site, days.first, days.last, now_ms())
