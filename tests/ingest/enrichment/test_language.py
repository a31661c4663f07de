import pytest

from ingest.enrichment.language import read_language


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("en-GB", "en-GB"),
        ("EN_gb", "en-GB"),
        ("de", "de"),
        ("zh-hans-cn", "zh-Hans-CN"),
        ("es-419", "es-419"),
        ("x", None),
        ("", None),
        ("en-", None),
        ("<script>", None),
        ("日本", None),
    ],
)
def test_it_spells_a_language_one_way(tag: str, language: str | None) -> None:
    assert read_language(tag) == language
