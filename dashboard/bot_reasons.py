"""Why page views are bots', in people's words. Pure."""

from typing import NamedTuple

from dashboard.wording import percent
from ingest.enrichment.bots import BotReason
from processing.top_values import Top


class Wording(NamedTuple):
    """`name` of the bots of one reason, and what they are."""

    name: str
    meaning: str


REASONS: dict[str, Wording] = {
    BotReason.INTERNAL: Wording("Own traffic", "From the site’s own people and addresses"),
    BotReason.HEADLESS: Wording("Automated browsers", "Steered by a program, as for tests"),
    BotReason.CRAWLER: Wording("Crawlers", "Search engines, AI, previews, scripts"),
    BotReason.DATACENTER: Wording("Data centres", "From rented servers, not homes or phones"),
    BotReason.REFERRER_SPAM: Wording("Referrer spam", "Sent by sites that advertise themselves so"),
}


def wording_of(reason: str) -> Wording:
    """What another version may have told stays as it is."""
    return REASONS.get(reason, Wording(reason, ""))


def mostly(top: Top) -> str:
    """The two most frequent reasons: “71% crawlers, 20% data centres”."""
    return ", ".join(
        f"{percent(100 * row[top.metric] / top.total)} {wording_of(row['value']).name.lower()}"
        for row in top.results[:2]
    )
