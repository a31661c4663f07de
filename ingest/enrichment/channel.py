"""By what kind of way a visitor came: GA4's default channel group. Pure.

The rules, their order and their patterns are those of
https://support.google.com/analytics/answer/9756891; the sources are ours, GA4's list is not free.
“AI Assistant” is there since May 2026; it stands before the channels of other sources, because
assistants have domains of search engines (gemini.google.com).
"""

import re
from enum import StrEnum

from ingest.enrichment.sources import Kind


class Channel(StrEnum):
    """Every channel there is."""

    DIRECT = "Direct"
    CROSS_NETWORK = "Cross-network"
    PAID_SHOPPING = "Paid Shopping"
    PAID_SEARCH = "Paid Search"
    PAID_SOCIAL = "Paid Social"
    PAID_VIDEO = "Paid Video"
    DISPLAY = "Display"
    PAID_OTHER = "Paid Other"
    AI_ASSISTANT = "AI Assistant"
    ORGANIC_SHOPPING = "Organic Shopping"
    ORGANIC_SOCIAL = "Organic Social"
    ORGANIC_VIDEO = "Organic Video"
    ORGANIC_SEARCH = "Organic Search"
    EMAIL = "Email"
    AFFILIATES = "Affiliates"
    REFERRAL = "Referral"
    AUDIO = "Audio"
    SMS = "SMS"
    MOBILE_PUSH = "Mobile Push Notifications"
    UNASSIGNED = "Unassigned"


_paid = re.compile(r".*cp.*|ppc|retargeting|paid.*")
_shopping = re.compile(r"(.*(([^a-df-z]|^)shop|shopping).*)")
_DISPLAY = {"display", "banner", "expandable", "interstitial", "cpm"}
_SOCIAL = {"social", "social-network", "social-media", "sm", "social network", "social media"}
_EMAIL = {"email", "e-mail", "e_mail", "e mail"}
_PAID_KINDS = {
    Kind.SHOPPING: Channel.PAID_SHOPPING,
    Kind.SEARCH: Channel.PAID_SEARCH,
    Kind.SOCIAL: Channel.PAID_SOCIAL,
    Kind.VIDEO: Channel.PAID_VIDEO,
}


def channel_of(kind: Kind | None, source: str, medium: str, campaign: str) -> Channel:
    """`kind` of the source, if it is known; the others as in `utm_*`, empty where there is none."""
    source, medium, campaign = source.lower(), medium.lower(), campaign.lower()
    if not (kind or source or medium or campaign):
        return Channel.DIRECT
    if "cross-network" in campaign:
        return Channel.CROSS_NETWORK
    shopping = kind is Kind.SHOPPING or _shopping.fullmatch(campaign) is not None
    return (
        _paid_channel(Kind.SHOPPING if shopping else kind, medium)
        or _organic_channel(kind, shopping, source, medium)
        or _other_channel(source, medium)
    )


def _paid_channel(kind: Kind | None, medium: str) -> Channel | None:
    paid = _paid.fullmatch(medium) is not None
    if paid and kind in _PAID_KINDS:
        return _PAID_KINDS[kind]
    if medium in _DISPLAY:
        return Channel.DISPLAY
    return Channel.PAID_OTHER if paid else None


def _organic_channel(kind: Kind | None, shopping: bool, source: str, medium: str) -> Channel | None:
    if kind is Kind.AI or medium == "ai-assistant":
        return Channel.AI_ASSISTANT
    if shopping:
        return Channel.ORGANIC_SHOPPING
    if kind is Kind.SOCIAL or medium in _SOCIAL:
        return Channel.ORGANIC_SOCIAL
    if kind is Kind.VIDEO or "video" in medium:
        return Channel.ORGANIC_VIDEO
    if kind is Kind.SEARCH or medium == "organic":
        return Channel.ORGANIC_SEARCH
    if kind is Kind.EMAIL or source in _EMAIL or medium in _EMAIL:
        return Channel.EMAIL
    return None


def _other_channel(source: str, medium: str) -> Channel:
    if medium in ("affiliate", "affiliates"):
        return Channel.AFFILIATES
    if medium in ("referral", "app", "link"):
        return Channel.REFERRAL
    if medium == "audio":
        return Channel.AUDIO
    if "sms" in (source, medium):
        return Channel.SMS
    if medium.endswith("push") or "mobile" in medium or "notification" in medium:
        return Channel.MOBILE_PUSH
    return Channel.MOBILE_PUSH if source == "firebase" else Channel.UNASSIGNED
