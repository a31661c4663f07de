import pytest

from ingest.enrichment.screen import screen_class


@pytest.mark.parametrize(
    ("screen", "found"),
    [
        ("1920x1080", "desktop"),
        ("1440 x 900", "desktop"),
        ("1280x720", "laptop"),
        ("820x1180", "tablet"),
        ("390X844", "mobile"),
        ("0x0", None),
        ("x", None),
        ("123456x1", None),
        ("\u0661\u0669\u0662\u0660x1080", None),
    ],
)
def test_it_tells_classes(screen: str, found: str | None) -> None:
    assert screen_class(screen) == found
