"""Identifiers that advertisers' networks append to links: whose they are. Pure.

Only the name tells something; the value names a person's click and is not kept.
"""

from collections.abc import Container
from typing import NamedTuple


class Click(NamedTuple):
    """As `utm_source` and `utm_medium` would say it; no medium: not known to be paid."""

    source: str
    medium: str


# In the order in which they count. Facebook, Instagram and Yandex (ysclid) mark links that nobody
# paid for as well: theirs name the source only.
_CLICKS = {
    "gclid": Click("google", "cpc"),
    "gbraid": Click("google", "cpc"),
    "wbraid": Click("google", "cpc"),
    "dclid": Click("google", "display"),
    "msclkid": Click("bing", "cpc"),
    "ttclid": Click("tiktok", "cpc"),
    "twclid": Click("twitter", "cpc"),
    "li_fat_id": Click("linkedin", "cpc"),
    "rdt_cid": Click("reddit", "cpc"),
    "epik": Click("pinterest", "cpc"),
    "ScCid": Click("snapchat", "cpc"),
    "yclid": Click("yandex", "cpc"),
    "fbclid": Click("facebook", ""),
    "igshid": Click("instagram", ""),
    "ysclid": Click("yandex", ""),
}


def find_click(query_names: Container[str]) -> Click | None:
    """What the names of a query's parameters say."""
    return next((click for name, click in _CLICKS.items() if name in query_names), None)
