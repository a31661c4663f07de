"""The DRF door: the documented contract of `/api/v1/track`."""

import time
from typing import IO, Any, NoReturn, cast

from django.conf import settings
from django.http import HttpRequest
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.exceptions import Throttled
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from ingest.acceptance import Sender
from ingest.body_limit import too_large
from ingest.client_address import client_address, read_networks
from ingest.door import Answer, process_door
from ingest.metrics import count_request
from ingest.rate_limit import TokenBuckets
from ingest.refusals import Refusal
from ingest.track_request import MAX_BATCH_EVENTS, event_schema

_proxies = read_networks(settings.TRUSTED_PROXIES)
_buckets = TokenBuckets(
    max(1, settings.RATE_LIMIT_ADDRESS), 2 * max(1, settings.RATE_LIMIT_ADDRESS), time.monotonic
)


class BodyParser(BaseParser):
    """Hands the bytes on; the shared code reads them."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None
    ) -> Any:
        body: bytes = stream.read(settings.MAX_BODY_BYTES + 1)
        if len(body) > settings.MAX_BODY_BYTES:
            raise Refusal(413, "body", None, too_large(settings.MAX_BODY_BYTES)["error"]["reason"])
        return body


class TextBodyParser(BodyParser):
    """The same for `text/plain`, which browsers send without asking first."""

    media_type = "text/plain"


class AddressThrottle(BaseThrottle):
    """`RATE_LIMIT_ADDRESS` requests a second and address, twice that in a burst."""

    _wait = 0.0

    def allow_request(self, request: Request, view: APIView) -> bool:
        if settings.RATE_LIMIT_ADDRESS:
            self._wait = _buckets.take(_sender(request).address)
        return self._wait == 0.0

    def wait(self) -> float:
        return self._wait


class _TrackEndpoint(APIView):
    parser_classes = [BodyParser, TextBodyParser]
    throttle_classes = [AddressThrottle]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Response:
        """Counts every request that was answered, by its answer."""
        began = time.perf_counter()
        response = cast(Response, super().dispatch(request, *args, **kwargs))
        if request.method == "POST":
            error = response.data.get("error") or {}
            count_request(response.status_code, error.get("field"), time.perf_counter() - began)
        return response

    def throttled(self, request: Request, wait: float | None) -> NoReturn:
        raise Throttled(wait, f"more than {settings.RATE_LIMIT_ADDRESS} requests a second")

    @staticmethod
    def body(request: Request) -> bytes:
        """The body; what is no accepted media type becomes 415 here."""
        return request.data if isinstance(request.data, bytes) else b""


_ACCEPTED = {
    "type": "object",
    "properties": {
        "status": {"type": "string", "enum": ["accepted"]},
        "id": {"type": "string", "description": "Your event_id, or the UUID that was made."},
        "receipt": {"type": "string", "description": "<partition>-<offset> in Kafka."},
    },
}
_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "field": {"type": ["string", "null"]},
                "value": {"description": "As it was sent, cut where it is long."},
                "reason": {"type": "string"},
            },
        }
    },
}
_BATCH = {
    "type": "object",
    "required": ["events"],
    "properties": {
        "events": {
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_BATCH_EVENTS,
            "items": event_schema(),
        }
    },
}
_BATCH_ANSWER = {
    "type": "object",
    "properties": {
        "accepted": {"type": "integer"},
        "refused": {"type": "integer"},
        "results": {"type": "array", "items": {"oneOf": [_ACCEPTED, _ERROR]}},
    },
}
_REFUSALS = {
    400: OpenApiResponse(_ERROR, "A field is wrong; names field, value and reason."),
    403: OpenApiResponse(
        _ERROR, "The site is unknown or inactive, or the hostname is not allowed."
    ),
    413: OpenApiResponse(_ERROR, "The body is too large."),
    415: OpenApiResponse(_ERROR, "Send application/json or text/plain."),
    429: OpenApiResponse(_ERROR, "Too many requests; see Retry-After."),
    503: OpenApiResponse(_ERROR, "Kafka can't take it; see Retry-After and send it again."),
}


class TrackView(_TrackEndpoint):
    """One event."""

    @extend_schema(
        summary="Send one event",
        description="Answered once the event is safe in Kafka.",
        request={"application/json": event_schema()},
        responses={202: OpenApiResponse(_ACCEPTED, "Safe in Kafka."), **_REFUSALS},
        examples=[
            OpenApiExample(
                "A page view",
                {"user_id": "user123", "page_url": "/home", "timestamp": 1730814562},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        return _response(process_door().track(self.body(request), _sender(request)))


class TrackBatchView(_TrackEndpoint):
    """Many events."""

    @extend_schema(
        summary=f"Send up to {MAX_BATCH_EVENTS} events",
        description="A result for each event, in their order; valid ones are counted even when "
        "others are refused. 400 when none is valid.",
        request={"application/json": _BATCH},
        responses={202: OpenApiResponse(_BATCH_ANSWER, "Every valid event is safe."), **_REFUSALS},
    )
    def post(self, request: Request) -> Response:
        return _response(process_door().track_batch(self.body(request), _sender(request)))


def _sender(request: Request) -> Sender:
    peer = request.META.get("REMOTE_ADDR", "")
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    return Sender(
        address=client_address(peer, forwarded, _proxies),
        agent=request.META.get("HTTP_USER_AGENT", ""),
    )


def _response(answer: Answer) -> Response:
    headers = {"Retry-After": str(answer.retry_after)} if answer.retry_after else None
    return Response(answer.body, status=answer.status, headers=headers)
