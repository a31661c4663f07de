"""One HTTP/1.1 connection: bytes in, requests out, answers in the order of their requests.

`httptools` (llhttp) parses; everything that bounds memory and time is here and in `Server`.
"""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

import httptools

from ingest.door import RETRY_AFTER_SECONDS, error_body
from ingest.gateway.head import READERS, Head
from ingest.refusals import Refusal
from ingest.too_large import (
    LINGER_SECONDS,
    MOST_HEAD_BYTES,
    body_too_large,
    head_too_large,
    header_lines,
    last_reply,
)

if TYPE_CHECKING:
    from ingest.gateway.server import Server

# A connection that sent so many heads in a row which nobody had sent before is not asked whether
# the next one is known.
_MOST_STRANGE = 64


class Request:
    """What was asked. Its `answer` may be given later, and by whoever holds it. `began`: on the
    server's clock, in seconds."""

    __slots__ = ("_connection", "began", "body", "head")

    def __init__(
        self, connection: "Connection", began: float, head: Head, body: bytes = b""
    ) -> None:
        self._connection = connection
        self.began = began
        self.head = head
        self.body = body

    @property
    def peer(self) -> str:
        """The address that the connection comes from."""
        return self._connection.peer

    def answer(self, status: int, headers: bytes, body: bytes) -> None:
        """`headers` are whole lines; those of the connection and the length are added."""
        self._connection.answer(self, status, headers, body)


class Connection(asyncio.Protocol):
    """Parses one request after the other and hands each to the server's handler."""

    def __init__(self, server: "Server") -> None:
        self.server = server
        self._transport: Any = None
        self._parser: Any = httptools.HttpRequestParser(self)
        self._request: Request | None = None
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._head_bytes = 0
        # Of the last request in the piece that is being parsed, if its body came whole.
        self._whole: Head | None = None
        # Requests since the last one whose head was known.
        self._strange = 0
        # The one that is being answered, and those that came behind it.
        self._answering: Request | None = None
        self._queue: deque[Request] = deque()
        self._refused = False
        self._handing_over = False
        self._reading = True
        self.peer = ""
        # When the last thing happened that this connection may wait after, on the server's clock.
        self.since = 0.0
        self.is_slow_reader = False

    # --- What asyncio tells -----------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        name = transport.get_extra_info("peername")
        self.peer = name[0] if name else ""
        self.since = self.server.now
        self.server.opened(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._forget_unread()
        self.server.lost(self)
        # The parser holds this connection's methods, and requests hold it: without them nothing of
        # it waits for the collector, which hardly ever comes.
        self._parser = self._request = self._answering = None

    def data_received(self, data: bytes) -> None:
        if len(data) > MOST_HEAD_BYTES:
            self._receive_in_pieces(data)
            return
        head_bytes = b""
        if self._request is None:
            self.since = self.server.now
            if 0 < self._strange < _MOST_STRANGE and not self._refused:
                head_bytes, head = self.server.heads.find(data)
                if head is not None and self._has_room(head.length):
                    self._strange = 1
                    self.server.buffered += head.length
                    body = data[len(head_bytes) :]
                    self._take(Request(self, self.server.clock(), head, body))
                    return
        self._parse(data)
        # Of this piece only: the next one may begin with another head.
        whole, self._whole = self._whole, None
        if head_bytes and whole is not None and len(head_bytes) + whole.length == len(data):
            self.server.heads.learn(head_bytes, whole)

    def _has_room(self, length: int) -> bool:
        """Whether a body can be held; where not, it is refused on the usual way."""
        room = self.server.most_buffered_bytes - self.server.buffered
        return length <= room

    def _parse(self, data: bytes) -> None:
        self._head_bytes += len(data)
        while data and not self._refused:
            try:
                self._parser.feed_data(data)
                data = b""
            except httptools.HttpParserUpgrade as upgrade:
                rest = data[upgrade.args[0] :]
                data = b"" if self._refused else self._head_without_upgrade() + rest
            except httptools.HttpParserError:
                self._refuse(400, error_body(None, None, "this is not HTTP/1.1 as RFC 9112 has it"))
        if self._request is not None and self._head_bytes > MOST_HEAD_BYTES:
            self._refuse_too_large(head_too_large())

    def _receive_in_pieces(self, data: bytes) -> None:
        """A read may bring a head at once that is far too long."""
        for start in range(0, len(data), MOST_HEAD_BYTES):
            self.data_received(data[start : start + MOST_HEAD_BYTES])

    def _head_without_upgrade(self) -> bytes:
        """Some clients offer HTTP/2 with their first request, which is answered as it is. Its body
        is left unread by the parser, so another one gets the head without the offer."""
        head = self.request.head
        close = b"" if head.keep_alive else b"connection: close\r\n"
        text = b"%s %s HTTP/1.1\r\n%s%s\r\n" % (head.method, head.target, close, head.framing)
        head.method = head.target = head.framing = b""
        head.offers_upgrade = head.is_waiting = False
        self._parser = httptools.HttpRequestParser(self)
        return text

    def pause_writing(self) -> None:
        """Who does not read the answers is asked nothing more: they would be kept here."""
        self.is_slow_reader = True
        self.since = self.server.now
        self._hold_reading()

    def resume_writing(self) -> None:
        self.is_slow_reader = False
        self._read_on()

    # --- What the parser tells --------------------------------------------------------

    @property
    def request(self) -> Request:
        """The one that is being read."""
        assert self._request is not None  # noqa: S101  asked only between its begin and its end
        return self._request

    def on_message_begin(self) -> None:
        if self._request is None:  # else its head comes once more
            self._request = Request(self, self.server.clock(), Head())

    def on_url(self, url: bytes) -> None:
        self.request.head.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        read = READERS.get(name.lower())
        # Called for every header, so without the property.
        request = self._request
        if read is None or request is None or self._refused:
            return
        # What comes behind the body is a trailer: whoever sent it, it says nothing here.
        if not request.head.method:
            read(request.head, value)

    def on_headers_complete(self) -> None:
        request = self._request
        if request is None:
            return
        head = request.head
        head.method = self._parser.get_method()
        head.keep_alive = self._parser.should_keep_alive()
        self._head_bytes = 0
        if head.length > self.server.most_body_bytes:
            self._refuse_body()
        elif head.is_waiting and self._answering is None and not self._refused:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if head.method == b"CONNECT":
            self._refuse(400, error_body(None, None, "this is no proxy"))

    def on_body(self, body: bytes) -> None:
        if self._refused:
            return
        self._head_bytes = 0
        self._body.append(body)
        self._body_bytes += len(body)
        self.server.buffered += len(body)
        if self._body_bytes > self.server.most_body_bytes:
            self._refuse_body()
        elif self.server.buffered > self.server.most_buffered_bytes:
            self._refuse(503, self.server.overloaded, _RETRY_AFTER)

    def on_message_complete(self) -> None:
        request = self._request
        if request is None or self._refused:
            return
        head = request.head
        if head.offers_upgrade and self._parser.should_upgrade():
            return
        request.body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._request = None
        self._body = []
        self._body_bytes = self._head_bytes = 0
        is_plain = head.keep_alive and not head.is_waiting and not head.offers_upgrade
        self._whole = head if is_plain and 0 < head.length == len(request.body) else None
        self._strange += 1
        self._take(request)

    def _take(self, request: Request) -> None:
        """It came whole."""
        if self._answering is None:
            self._hand_over(request)
        else:
            self._queue.append(request)
            self._hold_reading()

    # --- Answers ----------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Nothing was asked that is not answered."""
        return self._answering is None and self._request is None

    @property
    def is_reading(self) -> bool:
        """In the middle of a request that has not come whole."""
        return self._request is not None and self._answering is None

    def answer(self, request: Request, status: int, headers: bytes, body: bytes) -> None:
        self.server.buffered -= len(request.body)
        if self._transport.is_closing() or self._answering is not request:
            return
        keep_alive = request.head.keep_alive and not self.server.draining and not self._refused
        self._write(request, status, headers, body, keep_alive)
        self._answering = None
        self.since = self.server.now
        if not keep_alive:
            self.close()
        elif self._queue:
            self._hand_over_queue()
        elif not self._reading:
            self._read_on()

    def time_out(self) -> None:
        """The request did not come whole in time."""
        self._refuse(408, error_body(None, None, "the request did not come whole in time"))

    def close(self) -> None:
        """What is written is sent first."""
        self._request = None
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def _hand_over(self, request: Request) -> None:
        self._answering = request
        self.server.handle(request)

    def _hand_over_queue(self) -> None:
        """Those that are answered at once come back here: thousands of them, one in the other,
        would overflow the stack."""
        if self._handing_over:
            return
        self._handing_over = True
        try:
            while self._queue and self._answering is None and not self._transport.is_closing():
                self._hand_over(self._queue.popleft())
        finally:
            self._handing_over = False

    def _hold_reading(self) -> None:
        """Who sends on without waiting for answers waits in the kernel."""
        if self._reading and not self._transport.is_closing():
            self._reading = False
            self._transport.pause_reading()

    def _read_on(self) -> None:
        may_read = not (self._queue or self.is_slow_reader or self._transport.is_closing())
        if may_read and not self._reading:
            self._reading = True
            self._transport.resume_reading()

    def _write(
        self, request: Request, status: int, headers: bytes, body: bytes, keep_alive: bool
    ) -> None:
        head = self.server.head(status, headers)
        if not keep_alive:
            head += b"connection: close\r\n"
        if status in (204, 304):  # a length would be that of the body that is left out
            self._transport.write(b"%s\r\n" % head)
            return
        sent = b"" if request.head.method == b"HEAD" else body
        self._transport.write(b"%scontent-length: %d\r\n\r\n%s" % (head, len(body), sent))

    def _refuse_body(self) -> None:
        self._refuse_too_large(body_too_large(self.server.most_body_bytes))

    def _refuse_too_large(self, refusal: Refusal) -> None:
        reply = last_reply(refusal)
        self._refuse_with(reply.status, header_lines(reply), reply.body)

    def _refuse(self, status: int, body: bytes, headers: bytes = b"") -> None:
        length = b"content-length: %d\r\n" % len(body)
        self._refuse_with(status, JSON + CORS + headers + b"connection: close\r\n" + length, body)

    def _refuse_with(self, status: int, headers: bytes, body: bytes) -> None:
        """The last answer on this connection; what else comes is thrown away. A request that
        waits for its answer gets it first."""
        if self._refused:
            return
        self._refused = True
        self._forget_unread()
        if self._answering is not None:
            return
        self._transport.write(b"%s\r\n%s" % (self.server.head(status, headers), body))
        self._request = None
        asyncio.get_running_loop().call_later(LINGER_SECONDS, self.close)

    def _forget_unread(self) -> None:
        """What came and will not be answered."""
        unread = self._body_bytes + sum(len(request.body) for request in self._queue)
        self.server.buffered -= unread
        self._body_bytes = 0
        self._body = []
        self._queue.clear()


JSON = b"content-type: application/json\r\n"
CORS = (
    b"access-control-allow-origin: *\r\n"
    b"access-control-expose-headers: Retry-After, X-Tracker-Bot\r\n"
)
_RETRY_AFTER = b"retry-after: %d\r\n" % RETRY_AFTER_SECONDS
