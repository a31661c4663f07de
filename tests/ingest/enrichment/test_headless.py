import pytest

from ingest.enrichment.headless import is_headless
from tests.ingest.enrichment.test_agent import WINDOWS


@pytest.mark.parametrize(
    ("agent", "said_so", "headless"),
    [
        (WINDOWS, False, False),
        (WINDOWS, True, True),
        (WINDOWS.replace("Chrome/", "HeadlessChrome/"), False, True),
        ("", False, False),
    ],
)
def test_it_knows_browsers_without_a_person(agent: str, said_so: bool, headless: bool) -> None:
    assert is_headless(agent, said_so) is headless
