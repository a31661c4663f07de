"""Programs that say what they are: crawlers, monitors, HTTP libraries. Pure.

The patterns are those of crawler-user-agents, run by ua-parser's Rust core: 2.6 µs an agent that is
new instead of 1,260 µs by the package's own function. A test holds both against each other.
"""

from functools import cache, lru_cache

from crawleruseragents import CRAWLER_USER_AGENTS_DATA
from ua_parser_rs import UserAgentExtractor

from ingest.enrichment.agent import MAX_AGENT


@cache
def _patterns() -> UserAgentExtractor:
    return UserAgentExtractor(
        [(crawler["pattern"], "crawler", None, None, None, None)
         for crawler in CRAWLER_USER_AGENTS_DATA]
    )  # fmt: skip


def is_crawler(agent: str) -> bool:
    """Whether the user agent is one of a program without a person."""
    return remembered(agent[:MAX_AGENT])


@lru_cache(maxsize=8_192)
def remembered(agent: str) -> bool:
    return _patterns().extract(agent) is not None
