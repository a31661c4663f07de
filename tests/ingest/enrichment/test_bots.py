import pytest

from ingest.enrichment.bots import BotReason, bot_reason
from ingest.enrichment.origin import Origin

NOTHING = {"internal": False, "headless": False, "crawler": False, "origin": None, "spam": False}


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ({}, None),
        ({"internal": True, "headless": True}, BotReason.INTERNAL),
        ({"headless": True, "crawler": True}, BotReason.HEADLESS),
        ({"crawler": True, "origin": Origin.DATACENTER}, BotReason.CRAWLER),
        ({"origin": Origin.CRAWLER}, BotReason.CRAWLER),
        ({"origin": Origin.DATACENTER, "spam": True}, BotReason.DATACENTER),
        ({"spam": True}, BotReason.REFERRER_SPAM),
    ],
)
def test_it_tells_the_first_reason(found: dict[str, object], reason: BotReason | None) -> None:
    assert bot_reason(**(NOTHING | found)) is reason  # type: ignore[arg-type]
