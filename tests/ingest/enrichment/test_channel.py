"""GA4's rules, a case for each condition."""

import pytest

from ingest.enrichment.channel import Channel, channel_of
from ingest.enrichment.sources import Kind


@pytest.mark.parametrize(
    ("kind", "source", "medium", "campaign", "channel"),
    [
        (None, "", "", "", "Direct"),
        (Kind.SEARCH, "google", "cpc", "x Cross-network", "Cross-network"),
        (Kind.SHOPPING, "amazon", "cpc", "", "Paid Shopping"),
        (None, "x", "ppc", "summer-shop", "Paid Shopping"),
        (None, "x", "ppc", "bookshopping", "Paid Shopping"),
        (None, "x", "ppc", "eshop", "Paid Shopping"),
        (None, "x", "ppc", "workshop", "Paid Other"),
        (Kind.SEARCH, "google", "CPC", "", "Paid Search"),
        (Kind.SEARCH, "bing", "retargeting", "", "Paid Search"),
        (Kind.SOCIAL, "facebook", "paid_social", "", "Paid Social"),
        (Kind.VIDEO, "youtube", "cpv-cpc", "", "Paid Video"),
        (None, "x", "banner", "", "Display"),
        (Kind.SEARCH, "google", "display", "", "Display"),
        (None, "x", "cpm", "", "Display"),
        (None, "x", "ppc", "", "Paid Other"),
        (Kind.AI, "ChatGPT", "referral", "", "AI Assistant"),
        (None, "x", "ai-assistant", "", "AI Assistant"),
        (Kind.SHOPPING, "amazon", "referral", "", "Organic Shopping"),
        (None, "x", "", "shop", "Organic Shopping"),
        (Kind.SOCIAL, "Reddit", "referral", "", "Organic Social"),
        (None, "x", "social-media", "", "Organic Social"),
        (Kind.VIDEO, "YouTube", "referral", "", "Organic Video"),
        (None, "x", "promo-video", "", "Organic Video"),
        (Kind.SEARCH, "Google", "referral", "", "Organic Search"),
        (None, "x", "organic", "", "Organic Search"),
        (Kind.EMAIL, "Gmail", "referral", "", "Email"),
        (None, "E-Mail", "", "", "Email"),
        (None, "x", "e_mail", "", "Email"),
        (None, "x", "affiliates", "", "Affiliates"),
        (Kind.REFERRAL, "news.example", "referral", "", "Referral"),
        (None, "x", "app", "", "Referral"),
        (None, "x", "audio", "", "Audio"),
        (None, "sms", "", "", "SMS"),
        (None, "x", "sms", "", "SMS"),
        (None, "x", "webpush", "", "Mobile Push Notifications"),
        (None, "x", "mobile-app", "", "Mobile Push Notifications"),
        (None, "firebase", "", "", "Mobile Push Notifications"),
        (None, "x", "", "", "Unassigned"),
        (None, "newsletter", "flyer", "", "Unassigned"),
    ],
)  # fmt: skip
def test_it_groups_as_ga4_does(
    kind: Kind | None, source: str, medium: str, campaign: str, channel: str
) -> None:
    assert channel_of(kind, source, medium, campaign) == Channel(channel)
