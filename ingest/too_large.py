"""What every server refuses before any application sees it."""

import json

from ingest.cors import HEADERS
from ingest.refusals import Refusal
from ingest.reply import Reply

# Of the request line and all headers together; nginx too takes 32 kB, and no line over 8 kB.
MOST_HEAD_BYTES = 32_768
# For the OpenAPI document.
HEAD_TOO_LARGE = f"Address and headers have more than {MOST_HEAD_BYTES} bytes."
# For so long a refused request is still read and thrown away: closed at once, the connection
# would be reset, and the sender would see that instead of the answer.
LINGER_SECONDS = 2.0


def body_too_large(limit: int) -> Refusal:
    reason = f"the body is larger than {limit} bytes; send fewer events a request"
    return Refusal(413, "body", None, reason)


def head_too_large() -> Refusal:
    reason = f"address and headers are larger than {MOST_HEAD_BYTES} bytes; send events in a body"
    return Refusal(431, "headers", None, reason)


def last_reply(refusal: Refusal) -> Reply:
    """The last on its connection. Any page may read it: it holds nobody's data."""
    body = json.dumps({"error": refusal.as_json()}).encode()
    headers = {"Content-Length": str(len(body)), "Connection": "close", **HEADERS}
    return Reply(refusal.status, body, "application/json", tuple(headers.items()))


def headers_of(reply: Reply) -> list[tuple[bytes, bytes]]:
    headers = [("content-type", reply.content_type), *reply.headers]
    return [(name.lower().encode(), value.encode()) for name, value in headers]


def header_lines(reply: Reply) -> bytes:
    """The same as a server writes them."""
    return b"".join(b"%s: %s\r\n" % header for header in headers_of(reply))
