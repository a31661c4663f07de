import pytest
from crawleruseragents import CRAWLER_USER_AGENTS_DATA
from crawleruseragents import is_crawler as by_the_package

from ingest.enrichment.crawler import is_crawler
from tests.ingest.enrichment.test_agent import WINDOWS


@pytest.mark.parametrize(
    ("agent", "crawler"),
    [
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", True),
        ("Mozilla/5.0 (compatible; GPTBot/1.2; +https://openai.com/gptbot)", True),
        ("curl/8.5.0", True),
        ("python-requests/2.31", True),
        (WINDOWS, False),
        ("", False),
    ],
)
def test_it_knows_programs(agent: str, crawler: bool) -> None:
    assert is_crawler(agent) is crawler


def test_it_finds_what_the_package_finds() -> None:
    agents = [agent for crawler in CRAWLER_USER_AGENTS_DATA for agent in crawler["instances"]]
    assert len(agents) > 2_000
    assert [a for a in agents if is_crawler(a) != by_the_package(a[:512])] == []
