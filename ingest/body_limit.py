"""Refuses bodies that are too large before they are read into memory or onto disk."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from ingest.cors import HEADERS, PREFIX

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Any, Receive, Send], Awaitable[None]]


def too_large(limit: int) -> dict[str, Any]:
    """The error that every door answers with 413."""
    reason = f"the body is larger than {limit} bytes; send fewer events a request"
    return {"error": {"field": "body", "value": None, "reason": reason}}


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
            await self._refuse(scope["path"], send)
            return
        try:
            await self._application(scope, self._counted(receive), send)
        except _TooLarge:
            await self._refuse(scope["path"], send)

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

    async def _refuse(self, path: str, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        if path.startswith(PREFIX):
            headers += [(k.lower().encode(), v.encode()) for k, v in HEADERS.items()]
        body = json.dumps(too_large(self._limit)).encode()
        await send(
            {"type": "http.response.start", "status": 413, "headers": headers, "trailers": False}
        )
        await send({"type": "http.response.body", "body": body, "more_body": False})
