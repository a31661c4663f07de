"""Errors of Django REST framework, in the one JSON shape of every door."""

from typing import Any

from rest_framework.exceptions import APIException
from rest_framework.response import Response
from rest_framework.views import exception_handler

from ingest.refusals import Refusal


def handle_exception(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: every error body is `{"error": {field, value, reason}}`."""
    if isinstance(error, Refusal):
        return Response({"error": error.as_json()}, status=error.status)
    response = exception_handler(error, context)
    if response is not None and isinstance(error, APIException):
        response.data = {"error": {"field": None, "value": None, "reason": str(error.detail)}}
    return response
