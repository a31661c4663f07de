"""Where a page view's visitor came from, and what of the referrer is kept. Pure."""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from ingest.enrichment.channel import Channel, channel_of
from ingest.enrichment.click_id import Click
from ingest.enrichment.sources import Source, find_named, find_source

_MAX_SOURCE = 200
_MAX_HOST = 253


class Attribution(NamedTuple):
    """`source` and `channel` are None on a page that was reached from another one of the site."""

    source: str | None
    channel: Channel | None


INTERNAL = Attribution(None, None)


def kept_referrer(referrer: str) -> str:
    """Without query and fragment, which may name people."""
    return referrer.partition("?")[0].partition("#")[0]


def referrer_host(referrer: str) -> str:
    """In lower case; empty for what is no address. Apps name themselves: android-app://com.slack."""
    try:
        parts = urlsplit(referrer)
        return (parts.hostname or "") if parts.scheme in ("http", "https", "android-app") else ""
    except ValueError:
        return ""


def attribute(
    host: str, page_host: str | None, utm: Mapping[str, str], click: Click | None
) -> Attribution:
    """`host` is the referrer's, `page_host` the page's own. `utm_*` count before a click id, and
    that before the referrer."""
    name = utm.get("utm_source") or (click.source if click else "")
    medium = utm.get("utm_medium") or (click.medium if click else "")
    short = len(host) <= _MAX_HOST
    return (remembered if short else _attribute)(
        host, page_host, name, medium, utm.get("utm_campaign", "")
    )


def _attribute(
    host: str, page_host: str | None, name: str, medium: str, campaign: str
) -> Attribution:
    if name or medium or campaign:
        known = find_named(name) if name else _of_referrer(host, page_host)
        shown = known.name if known else name[:_MAX_SOURCE] or None
        return Attribution(shown, channel_of(known.kind if known else None, name, medium, campaign))
    if not host:
        return Attribution(None, Channel.DIRECT)
    source = _of_referrer(host, page_host)
    if source is None:
        return INTERNAL
    return Attribution(
        source.name[:_MAX_SOURCE], channel_of(source.kind, source.name, "referral", "")
    )


# 3 to 6 µs without. Bounded: 8,192 of at most 1.5 kB.
remembered = lru_cache(maxsize=8_192)(_attribute)


def _of_referrer(host: str, page_host: str | None) -> Source | None:
    if not host or (page_host and host.removeprefix("www.") == page_host.removeprefix("www.")):
        return None
    return find_source(host)
