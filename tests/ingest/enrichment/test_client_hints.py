import pytest

from ingest.enrichment.client_hints import NO_HINTS, ClientHints, read_hints

CHROME = '"Chromium";v="130", "Google Chrome";v="130", "Not?A_Brand";v="99"'


@pytest.mark.parametrize(
    ("brands", "browser"),
    [
        (CHROME, ("Chrome", "130")),
        ('"Microsoft Edge";v="131", "Chromium";v="131", "Not_A Brand";v="24"', ("Edge", "131")),
        ('"Not(A:Brand";v="8", "Opera";v="120", "Chromium";v="135"', ("Opera", "120")),
        ('" Not;A Brand";v="99", "Chromium";v="96"', None),
        ("", None),
        ('"', None),
        ("nonsense", None),
    ],
)
def test_it_reads_the_browser(brands: str, browser: tuple[str, str] | None) -> None:
    assert ClientHints(brands).browser() == browser


@pytest.mark.parametrize(
    ("platform", "version", "is_11"),
    [
        ('"Windows"', '"13.0.0"', True),
        ('"Windows"', '"10.0.0"', False),
        ('"macOS"', '"15.1.0"', False),
        ('"Windows"', "", False),
        ('"Windows"', '"x"', False),
    ],
)
def test_it_tells_windows_11(platform: str, version: str, is_11: bool) -> None:
    assert ClientHints(CHROME, "?0", platform, version).is_windows_11 is is_11


def test_it_keeps_no_more_than_a_browser_would_send() -> None:
    assert read_hints("", "?1", "", "") is NO_HINTS
    assert max(map(len, read_hints("x" * 9_000, "x" * 9_000, "x" * 9_000, "x" * 9_000))) <= 200
