"""A page view as an image: what `<noscript>` can send. Pure.

The page is told by the query or, where it says nothing, by the `Referer` header.
"""

from base64 import b64decode
from urllib.parse import parse_qsl

import msgspec

from ingest.refusals import Refusal

# One transparent pixel.
GIF = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
ALLOWED_METHODS = "GET"
FIELDS = ("site", "page_url", "event_id", "name", "title", "referrer")
_MOST_FIELDS = 50


def read_pixel(query: str, referer: str) -> bytes:
    """The body that the same event has when it is posted. Raises `Refusal` (400)."""
    try:
        values = dict(parse_qsl(query, max_num_fields=_MOST_FIELDS))
    except ValueError as error:
        raise Refusal(400, "query", query, f"it can't be read: {error}") from None
    event = {name: values[name] for name in FIELDS if name in values}
    if referer:
        event.setdefault("page_url", referer)
    return msgspec.json.encode(event)
