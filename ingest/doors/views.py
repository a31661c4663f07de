"""The trackers' doors in the web process."""

import time
from collections.abc import Callable

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.views.decorators.csrf import csrf_exempt

from ingest.door import method_not_allowed
from ingest.doors.endpoint import HEADERS, DoorRequest, Endpoint
from ingest.doors.endpoints import ENDPOINTS
from ingest.doors.runner import Answered, TrackerDoors, preflight, refuse
from ingest.metrics import count_request
from ingest.process_door import process_doors
from ingest.reply_response import response_of
from ingest.request_sender import sender_of
from ingest.too_large import body_too_large


def _view(endpoint: Endpoint) -> Callable[[HttpRequest], HttpResponse]:
    @csrf_exempt
    def view(request: HttpRequest) -> HttpResponse:
        return _respond(endpoint, request)

    return view


def _respond(endpoint: Endpoint, request: HttpRequest) -> HttpResponse:
    """Every request but preflights and unknown methods is counted, by its answer."""
    began = time.perf_counter()
    if request.method == "OPTIONS":
        return response_of(preflight(endpoint, read_request(request, b"")))
    if request.method not in endpoint.methods:
        body = method_not_allowed(request.method or "", endpoint.allowed)
        return HttpResponse(body, "application/json", 405, headers={"Allow": endpoint.allowed})
    answered = _answer(process_doors(), endpoint, request)
    count_request(answered.status, answered.field, time.perf_counter() - began)
    return response_of(answered.reply)


def _answer(doors: TrackerDoors, endpoint: Endpoint, request: HttpRequest) -> Answered:
    try:
        read = read_request(request, request.body)
    except RequestDataTooBig:
        limit = doors.most_body_bytes
        refusal = body_too_large(limit)
        return refuse(endpoint, read_request(request, b""), refusal)
    translated = doors.read(endpoint, read, sender_of(request))
    if isinstance(translated, Answered):
        return translated
    return doors.door.deliver_and_wait(translated)


def read_request(request: HttpRequest, body: bytes) -> DoorRequest:
    """What this and the other doors look at."""
    headers = {name: request.headers[name] for name in HEADERS if name in request.headers}
    query = request.META.get("QUERY_STRING", "")
    return DoorRequest(request.method or "", query, body, headers)


urlpatterns: list[URLPattern] = [path(one.path, _view(one), name=one.path) for one in ENDPOINTS]
