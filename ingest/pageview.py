"""The message: one event as it travels in Kafka and lies in the archive.

JSON, one event a Kafka message, key = visitor. Fields without a value are left
out. `VERSION` grows when a field changes its meaning; adding a field does not
change it. Readers refuse versions they do not know.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

VERSION = 1
# Milliseconds at 2100-01-01: what lies beyond it is no time of a page view.
_MOST_MS = 4_102_444_800_000

Milliseconds = Annotated[int, Meta(ge=0, le=_MOST_MS)]
Short = Annotated[str, Meta(min_length=1, max_length=200)]
Url = Annotated[str, Meta(min_length=1, max_length=2_048)]


class UndecodableMessage(ValueError):
    """Raised for bytes that are not a page view of a known version; says why."""


class PageView(msgspec.Struct, omit_defaults=True, frozen=True, gc=False):
    """One accepted event.

    `ts` and `received` are milliseconds since 1970 UTC: when it happened at the
    visitor's, and when it arrived here. `visitor` is 16 hexadecimal digits of a keyed
    hash; addresses and user ids are never part of a message.
    """

    id: Short
    site: Short
    visitor: Short
    path: Url
    ts: Milliseconds
    received: Milliseconds
    v: int = VERSION
    name: Short = "pageview"
    # The sender chose the id and may send the event again: duplicates are looked for.
    retryable: bool = False
    hostname: str | None = None
    title: str | None = None
    referrer: str | None = None
    source: str | None = None
    channel: str | None = None
    utm_source: str | None = None
    utm_medium: str | None = None
    utm_campaign: str | None = None
    utm_term: str | None = None
    utm_content: str | None = None
    country: str | None = None
    region: str | None = None
    browser: str | None = None
    browser_version: str | None = None
    os: str | None = None
    os_version: str | None = None
    device: str | None = None
    screen: str | None = None
    screen_class: str | None = None
    language: str | None = None
    time_zone: str | None = None
    bot: str | None = None
    props: dict[str, str | int | float | bool] | None = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(PageView)


def encode(page_view: PageView) -> bytes:
    return _encoder.encode(page_view)


def decode(message: bytes | None) -> PageView:
    """The page view in a Kafka message's value.

    Raises `UndecodableMessage` for anything that `encode` of a known version could not
    have written.
    """
    if message is None:
        raise UndecodableMessage("the message has no value")
    try:
        page_view = _decoder.decode(message)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UndecodableMessage(str(error)) from None
    if page_view.v != VERSION:
        raise UndecodableMessage(f"its version is {page_view.v}, this reader knows {VERSION}")
    if not page_view.path.startswith("/"):
        raise UndecodableMessage(f"its path {page_view.path!r} does not start with /")
    return page_view
