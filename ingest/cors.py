"""Browsers of every site may send events: CORS headers on the track endpoints.

No credentials are allowed, so that no site can use a visitor's login here.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

PREFIX = "/api/v1/track"
HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Retry-After, X-Tracker-Bot",
}
PREFLIGHT_HEADERS = {
    **HEADERS,
    "Access-Control-Allow-Methods": "POST, OPTIONS",
    "Access-Control-Allow-Headers": "Content-Type",
    "Access-Control-Max-Age": "86400",
}


class TrackCorsMiddleware:
    """Answers preflights and marks every answer, refusals too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith(PREFIX):
            return self._get_response(request)
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            answer = HttpResponse(status=204, headers=PREFLIGHT_HEADERS)
            # Of nothing.
            del answer.headers["Content-Type"]
            return answer
        response = self._get_response(request)
        for name, value in HEADERS.items():
            response.headers[name] = value
        return response
