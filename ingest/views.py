"""The DRF door: the documented contract of `/api/v1/track`."""

import time
from collections.abc import Callable, Iterable
from typing import IO, Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
)
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from ingest.door import (
    ALLOWED_METHODS,
    Answer,
    Many,
    One,
    image_reply,
    json_reply,
    method_not_allowed,
    refused,
)
from ingest.enrichment.steps import Told
from ingest.import_signature import HEADER as IMPORT_SIGNATURE
from ingest.import_signature import is_signed
from ingest.known import known_schema
from ingest.metrics import count_request
from ingest.pixel import ALLOWED_METHODS as PIXEL_METHODS
from ingest.pixel import FIELDS
from ingest.process_door import process_door
from ingest.refusals import ERROR_SCHEMA, Refusal
from ingest.reply_response import response_of
from ingest.request_sender import sender_of
from ingest.too_large import HEAD_TOO_LARGE, body_too_large
from ingest.track_request import MAX_BATCH_EVENTS, event_schema, text_schemas

Read = Callable[[bytes, Told], One | Many | Answer]


class BodyParser(BaseParser):
    """Hands the bytes on, of whatever type they say they are; the shared code reads them."""

    media_type = "*/*"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None
    ) -> Any:
        body: bytes = stream.read(settings.MAX_BODY_BYTES + 1)
        if len(body) > settings.MAX_BODY_BYTES:
            raise body_too_large(settings.MAX_BODY_BYTES)
        return body


class JsonAlways(BaseContentNegotiation):
    """There is one answer, whatever the sender would like."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser:
        return next(iter(parsers))

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type


class _TrackEndpoint(APIView):
    parser_classes = [BodyParser]
    renderer_classes = [JSONRenderer]
    content_negotiation_class = JsonAlways
    # OPTIONS that is no preflight is a method like any other.
    metadata_class = None
    allowed = ALLOWED_METHODS
    default_response_headers: dict[str, str] = {}

    def http_method_not_allowed(  # type: ignore[override]  # any response will do
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        body = method_not_allowed(request.method or "", self.allowed)
        return HttpResponse(body, "application/json", 405, headers={"Allow": self.allowed})

    def answer(self, request: Request, read: Read) -> HttpResponse:
        return response_of(json_reply(_counted(lambda: self._answer(request, read))))

    @staticmethod
    def _answer(request: Request, read: Read) -> Answer:
        sender = sender_of(request)
        refusal = process_door().refuse_unread(request.content_type or "", sender.address)
        if refusal is not None:
            return refusal
        body = request.data if isinstance(request.data, bytes) else b""
        return _delivered(read(body, process_door().of_sender(sender)))


def _delivered(read: One | Many | Answer) -> Answer:
    return read if isinstance(read, Answer) else process_door().deliver_and_wait(read)


def _counted(answer: Callable[[], Answer]) -> Answer:
    """Every request that comes here is counted, by its answer."""
    began = time.perf_counter()
    answered = answer()
    count_request(answered.status, answered.field, time.perf_counter() - began)
    return answered


_ACCEPTED = {
    "type": "object",
    "required": ["status", "id", "receipt"],
    "properties": {
        "status": {"type": "string", "enum": ["accepted"]},
        "id": {"type": "string", "description": "Your event_id, or the UUID that was made."},
        "receipt": {"type": "string", "description": "<partition>-<offset> in Kafka."},
    },
}
_BATCH: dict[str, Any] = {
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
_IMPORT = _BATCH | {
    "properties": {
        "events": {
            **_BATCH["properties"]["events"],
            "items": {
                "allOf": [
                    event_schema(),
                    {"type": "object", "properties": {"known": known_schema()}},
                ]
            },
        }
    }
}
_REFUSED = {
    "type": "object",
    "required": ["status", "error"],
    "properties": {
        "status": {"type": "string", "enum": ["refused"]},
        **ERROR_SCHEMA["properties"],
    },
}
_UNAVAILABLE = {
    "type": "object",
    "required": ["status", "id"],
    "properties": {
        "status": {"type": "string", "enum": ["unavailable"]},
        "id": {"type": "string", "description": "Send it again; it may be safe or not."},
    },
}
_BATCH_ANSWER = {
    "type": "object",
    "required": ["accepted", "refused", "results"],
    "properties": {
        "accepted": {"type": "integer"},
        "refused": {"type": "integer"},
        "results": {"type": "array", "items": {"oneOf": [_ACCEPTED, _REFUSED]}},
    },
}
_BATCH_UNAVAILABLE = {
    **ERROR_SCHEMA,
    "properties": {
        **ERROR_SCHEMA["properties"],
        "results": {"type": "array", "items": {"oneOf": [_ACCEPTED, _REFUSED, _UNAVAILABLE]}},
    },
}
_TRY_AGAIN = "Kafka can't take it; see Retry-After and send it again."
_REFUSALS = {
    400: OpenApiResponse(ERROR_SCHEMA, "A field is wrong; names field, value and reason."),
    403: OpenApiResponse(
        ERROR_SCHEMA,
        "The site is unknown or inactive, the hostname is not allowed, or the browser opts out.",
    ),
    413: OpenApiResponse(ERROR_SCHEMA, "The body is too large."),
    415: OpenApiResponse(ERROR_SCHEMA, "Send application/json or text/plain."),
    429: OpenApiResponse(ERROR_SCHEMA, "Too many requests; see Retry-After."),
    431: OpenApiResponse(ERROR_SCHEMA, HEAD_TOO_LARGE),
    503: OpenApiResponse(ERROR_SCHEMA, _TRY_AGAIN),
}
_BATCH_REFUSALS = {
    **_REFUSALS,
    400: OpenApiResponse(
        {"oneOf": [ERROR_SCHEMA, _BATCH_ANSWER]}, "It is no batch, or none of its events is valid."
    ),
    503: OpenApiResponse(_BATCH_UNAVAILABLE, _TRY_AGAIN),
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
    def post(self, request: Request) -> HttpResponse:
        return self.answer(request, process_door().read_one)


class TrackBatchView(_TrackEndpoint):
    """Many events."""

    @extend_schema(
        summary=f"Send up to {MAX_BATCH_EVENTS} events",
        description="A result for each event, in their order; valid ones are counted even when "
        "others are refused. 400 when none is valid.",
        request={"application/json": _BATCH},
        responses={
            202: OpenApiResponse(_BATCH_ANSWER, "Every valid event is safe."),
            **_BATCH_REFUSALS,
        },
    )
    def post(self, request: Request) -> HttpResponse:
        return self.answer(request, process_door().read_many)


class ImportView(_TrackEndpoint):
    """Many events of an export, with what it knows of them."""

    allowed = "POST"

    @extend_schema(
        summary=f"Import up to {MAX_BATCH_EVENTS} events",
        description="What `manage.py import_log` sends of an export: events with what another "
        "tracker found out of them. Signed with the tracker's SECRET_KEY.",
        parameters=[OpenApiParameter(IMPORT_SIGNATURE, str, OpenApiParameter.HEADER)],
        request={"application/json": _IMPORT},
        responses={
            202: OpenApiResponse(_BATCH_ANSWER, "Every valid event is safe."),
            **_BATCH_REFUSALS,
        },
    )
    def post(self, request: Request) -> HttpResponse:
        signature = request.headers.get(IMPORT_SIGNATURE, "")

        def read(body: bytes, _: Told) -> Many | Answer:
            if is_signed(body, signature):
                return process_door().read_import(body)
            reason = (
                "imports are signed with the tracker's SECRET_KEY, by a clock that is right; run "
                "the command where the tracker's settings are"
            )
            return refused(Refusal(403, IMPORT_SIGNATURE, None, reason))

        return self.answer(request, read)


class PixelView(_TrackEndpoint):
    """One page view of a browser without JavaScript."""

    http_method_names = ["get"]
    allowed = PIXEL_METHODS

    @extend_schema(
        summary="Send one page view by loading an image",
        description="For `<noscript>`. The page is `page_url`, or what the `Referer` header says.",
        parameters=[OpenApiParameter(name, schema) for name, schema in text_schemas(FIELDS)],
        responses={
            (200, "image/gif"): OpenApiResponse(
                OpenApiTypes.BINARY, "Safe in Kafka: a transparent pixel."
            ),
            **_REFUSALS,
        },
    )
    def get(self, request: Request) -> HttpResponse:
        query, referer = request.META.get("QUERY_STRING", ""), request.META.get("HTTP_REFERER", "")

        def answer() -> Answer:
            return _delivered(process_door().read_pixel(query, referer, sender_of(request)))

        return response_of(image_reply(_counted(answer)))
