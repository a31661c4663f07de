"""Refuses bodies that are too large, behind any ASGI server. `manage.py serve` refuses them
itself, before they are read (`tracker_site/http_request.py`)."""

from collections.abc import Awaitable, Callable
from typing import Any

from ingest.too_large import body_too_large, headers_of, last_reply

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Any, Receive, Send], Awaitable[None]]


class _TooLarge(Exception):
    """Raised while a body without a declared length is read past the limit."""


class BodyLimit:
    """ASGI middleware: answers 413 to HTTP requests with more than `limit` bytes."""

    def __init__(self, application: Application, limit: int) -> None:
        self._application = application
        self._limit = limit

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._limit:
            await self._refuse(send)
            return
        try:
            await self._application(scope, self._counted(receive), send)
        except _TooLarge:
            await self._refuse(send)

    def _counted(self, receive: Receive) -> Receive:
        read = 0

        async def counted() -> Any:
            nonlocal read
            event = await receive()
            if event["type"] == "http.request":
                read += len(event["body"])
                if read > self._limit:
                    raise _TooLarge
            return event

        return counted

    async def _refuse(self, send: Send) -> None:
        reply = last_reply(body_too_large(self._limit))
        await send(
            {
                "type": "http.response.start",
                "status": reply.status,
                "headers": headers_of(reply),
                "trailers": False,
            }
        )
        await send({"type": "http.response.body", "body": reply.body, "more_body": False})
