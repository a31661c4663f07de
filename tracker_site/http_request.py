"""Daphne's HTTP request, with what Daphne leaves out: it reads a whole body, however large,
before the application sees anything of it, it never closes a connection, and it answers nothing
where an address is too long."""

import asyncio
from typing import Any

from daphne.http_protocol import HTTPFactory, WebRequest
from django.conf import settings
from twisted.web.http import HTTPChannel

from ingest.refusals import Refusal
from ingest.too_large import (
    LINGER_SECONDS,
    MOST_HEAD_BYTES,
    body_too_large,
    head_too_large,
    header_lines,
    last_reply,
)

_REASONS = {413: b"Content Too Large", 431: b"Request Header Fields Too Large"}
# A line break of Latin-1, and half of many a letter in UTF-8 (Å, …), in which some browsers and
# programs write addresses. RFC 9110 allows the byte; Daphne would refuse the request.
_NEXT_LINE = b"\x85"


class HttpRequest(WebRequest):  # type: ignore[misc]  # Daphne has no types
    """Answers 413 as soon as a body is known to be too large; `Connection: close` is heeded,
    and said to everybody once the server is draining."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read = 0
        self._refused = False
        self._content_type: list[bytes] | None = None

    def gotLength(self, length: int | None) -> None:
        super().gotLength(0 if self._is_too_large(length or 0) else length)

    def handleContentChunk(self, data: bytes) -> None:
        self._read += len(data)
        if not self._is_too_large(self._read):
            super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Twisted would read forms itself, and answer 400 to what is none; Django does it."""
        self._content_type = self.requestHeaders.getRawHeaders(b"content-type")
        self.requestHeaders.removeHeader(b"content-type")
        super().requestReceived(command, path, version)

    def process(self) -> Any:
        """The body is complete."""
        if self._refused:
            return self.channel.loseConnection()
        if self._content_type is not None:
            self.requestHeaders.setRawHeaders(b"content-type", self._content_type)
        if self.requestHeaders.hasHeader(b"transfer-encoding"):
            # Django REST framework takes a body without a length for none at all.
            self.requestHeaders.removeHeader(b"transfer-encoding")
            self.requestHeaders.setRawHeaders(b"content-length", [b"%d" % self._read])
        for name, values in list(self.requestHeaders.getAllRawHeaders()):
            if any(_NEXT_LINE in value for value in values):
                cleaned = [value.replace(_NEXT_LINE, b"?") for value in values]
                self.requestHeaders.setRawHeaders(name, cleaned)
        return super().process()

    def handle_reply(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start" and self.channel is not None:
            close = (b"connection", b"close")
            if self.server.draining and close not in message.get("headers", []):
                message = {**message, "headers": [*message.get("headers", []), close]}
            if close in message.get("headers", []):
                self.channel.persistent = False
        super().handle_reply(message)

    def _is_too_large(self, length: int) -> bool:
        if length > settings.MAX_BODY_BYTES and not self._refused:
            self._refused = True
            _refuse(self.channel, body_too_large(settings.MAX_BODY_BYTES))
        return self._refused


class HttpChannel(HTTPChannel):
    """A connection. Twisted takes half of this, and closes it without a word at longer lines."""

    MAX_LENGTH = totalHeadersSize = MOST_HEAD_BYTES
    _refused = False

    def dataReceived(self, data: bytes) -> None:
        if not self._refused:
            super().dataReceived(data)  # type: ignore[no-untyped-call]

    def lineReceived(self, line: bytes) -> Any:
        """Of a head; what is true ends the reading."""
        if self._receivedHeaderSize + len(line) > self.totalHeadersSize:
            return self.lineLengthExceeded(line)
        return super().lineReceived(line)  # type: ignore[no-untyped-call]

    def lineLengthExceeded(self, line: bytes) -> bool:
        self._refused = True
        _refuse(self, head_too_large())
        return True


def _refuse(channel: Any, refusal: Refusal) -> None:
    """The last answer on this connection."""
    reply = last_reply(refusal)
    first = b"HTTP/1.1 %d %s\r\n" % (reply.status, _REASONS[reply.status])
    channel.transport.write(first + header_lines(reply) + b"\r\n" + reply.body)
    asyncio.get_running_loop().call_later(LINGER_SECONDS, channel.loseConnection)


class HttpFactory(HTTPFactory):  # type: ignore[misc]  # Daphne has no types
    """Makes these connections. Daphne would put requests of its own into them."""

    protocol = HttpChannel

    def buildProtocol(self, addr: Any) -> Any:
        channel = super().buildProtocol(addr)
        channel.requestFactory = HttpRequest
        return channel
