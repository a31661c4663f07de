"""Whose page views are not a person's, and why. Pure.

A bot's page view is not thrown away: it is logged with its reason, and counted as a bot's.
"""

from enum import StrEnum

from ingest.enrichment.origin import Origin


class BotReason(StrEnum):
    """Every reason there is; the first that holds is the one that is told."""

    INTERNAL = "internal"
    HEADLESS = "headless"
    CRAWLER = "crawler"
    DATACENTER = "datacenter"
    REFERRER_SPAM = "referrer_spam"


def read_bot_reasons(text: str) -> frozenset[BotReason]:
    """Reasons with spaces or lines between. Raises `ValueError` for what is none."""
    try:
        return frozenset(map(BotReason, text.split()))
    except ValueError as error:
        raise ValueError(f"{error}. Reasons are {', '.join(BotReason)}") from None


def bot_reason(
    internal: bool, headless: bool, crawler: bool, origin: Origin | None, spam: bool
) -> BotReason | None:
    """None: nothing speaks against a person."""
    if internal:
        return BotReason.INTERNAL
    if headless:
        return BotReason.HEADLESS
    if crawler or origin is Origin.CRAWLER:
        return BotReason.CRAWLER
    if origin is Origin.DATACENTER:
        return BotReason.DATACENTER
    return BotReason.REFERRER_SPAM if spam else None
