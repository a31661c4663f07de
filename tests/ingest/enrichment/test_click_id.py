import pytest

from ingest.enrichment.click_id import Click, find_click


@pytest.mark.parametrize(
    ("names", "click"),
    [
        ([], None),
        (["x", "utm_source"], None),
        (["gclid"], Click("google", "cpc")),
        (["wbraid"], Click("google", "cpc")),
        (["dclid"], Click("google", "display")),
        (["msclkid"], Click("bing", "cpc")),
        (["ttclid"], Click("tiktok", "cpc")),
        (["fbclid"], Click("facebook", "")),
        (["fbclid", "gclid"], Click("google", "cpc")),
    ],
)
def test_it_knows_whose_click_it_was(names: list[str], click: Click | None) -> None:
    assert find_click(dict.fromkeys(names, "x")) == click
