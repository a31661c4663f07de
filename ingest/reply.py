"""An HTTP answer, before one of the servers writes it. Pure."""

from typing import NamedTuple

Headers = tuple[tuple[str, str], ...]


class Reply(NamedTuple):
    """Without a content type it has none; the server adds the length."""

    status: int
    body: bytes = b""
    content_type: str = ""
    headers: Headers = ()
