import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.enrichment.agent import Agent, read_agent
from ingest.enrichment.client_hints import NO_HINTS, ClientHints

_CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0"
_SAFARI = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1"
WINDOWS = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_CHROME} Safari/537.36"
NOBODY = Agent()


@pytest.mark.parametrize(
    ("agent", "found"),
    [
        (WINDOWS, Agent("Chrome", "131", "Windows", "10", "desktop")),
        (f"{WINDOWS} Edg/131.0.2903.70", Agent("Edge", "131", "Windows", "10", "desktop")),
        (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_SAFARI} Safari/605.1.15",
         Agent("Safari", "18.1", "macOS", "10.15", "desktop")),
        (f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) {_SAFARI} Mobile/15E148 "
         "Safari/604.1", Agent("Safari", "18.1", "iOS", "18.1", "mobile")),
        (f"Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) {_SAFARI} Mobile/15E148 Safari/604.1",
         Agent("Safari", "18.1", "iOS", "17.5", "tablet")),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
         "Gecko) CriOS/120.0.6099.119 Mobile/15E148 Safari/604.1",
         Agent("Chrome", "120", "iOS", "17.1", "mobile")),
        ("Mozilla/5.0 (Linux; Android 13; SM-G991B; wv) AppleWebKit/537.36 (KHTML, like Gecko) "
         "Version/4.0 Chrome/120.0.0.0 Mobile Safari/537.36",
         Agent("Chrome WebView", "120", "Android", "13", "mobile")),
        (f"Mozilla/5.0 (Linux; Android 10; K) {_CHROME} Mobile Safari/537.36",
         Agent("Chrome", "131", "Android", "10", "mobile")),
        (f"Mozilla/5.0 (Linux; Android 13; SM-X200) {_CHROME} Safari/537.36",
         Agent("Chrome", "131", "Android", "13", "tablet")),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
         Agent("Firefox", "133", "Linux", None, "desktop")),
        ("Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/537.36 (KHTML, like Gecko) "
         "SamsungBrowser/4.0 Chrome/76.0.3809.146 TV Safari/537.36",
         Agent("Samsung Internet", "4", "Tizen", "6", "tv")),
        (f"Mozilla/5.0 (PlayStation; PlayStation 5/2.26) {_SAFARI} Safari/605.1.15",
         Agent("Safari", "18.1", None, None, "console")),
        ("", NOBODY),
        ("x" * 100_000, NOBODY),
    ],
)  # fmt: skip
def test_it_reads_browsers_systems_and_devices(agent: str, found: Agent) -> None:
    assert read_agent(agent, NO_HINTS) == found


def test_it_believes_the_hints_before_the_frozen_user_agent() -> None:
    hints = ClientHints('"Brave";v="131", "Chromium";v="131"', "?0", '"Windows"', '"15.0.0"')
    assert read_agent(WINDOWS, hints) == Agent("Brave", "131", "Windows", "11", "desktop")
    phone = f"Mozilla/5.0 (Linux; Android 10; K) {_CHROME} Safari/537.36"
    assert read_agent(phone, ClientHints(mobile="?1", platform='"Android"')).device == "mobile"


@given(st.text(max_size=600), st.builds(ClientHints, st.text(), st.text(), st.text(), st.text()))
def test_it_stands_whatever_is_sent(agent: str, hints: ClientHints) -> None:
    for value in read_agent(agent, hints):
        assert value is None or 0 < len(value) <= 50
