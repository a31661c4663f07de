"""Programs that say what they are: crawlers, monitors, HTTP libraries. Pure.

The patterns are those of crawler-user-agents, run by ua-parser's Rust core: 2.6 µs an agent that is
new instead of 1,260 µs by the package's own function. A test holds both against each other.
"""

import re
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


@cache
def _libraries() -> UserAgentExtractor:
    return UserAgentExtractor(
        [(crawler["pattern"], "library", None, None, None, None)
         for crawler in CRAWLER_USER_AGENTS_DATA if "http-library" in crawler["tags"]]
    )  # fmt: skip


# Every browser begins its name like this, and crawlers that want to be taken for one; so does
# Umami's client for servers.
_browser = re.compile(r"Mozilla/(?!5\.0 Umami/)")


@lru_cache(maxsize=8_192)
def is_program(agent: str) -> bool:
    """Whether the user agent is no browser's and no crawler's: an HTTP library, a tracker's client
    on a server, or none at all."""
    agent = agent[:MAX_AGENT]
    if _browser.match(agent):
        return False
    return not is_crawler(agent) or _libraries().extract(agent) is not None


@lru_cache(maxsize=8_192)
def remembered(agent: str) -> bool:
    return _patterns().extract(agent) is not None
