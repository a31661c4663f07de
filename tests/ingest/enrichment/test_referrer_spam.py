from pathlib import Path

import pytest

from ingest.enrichment.referrer_spam import is_spammer, read_spammers


@pytest.mark.parametrize(
    ("host", "spam"),
    [
        ("semalt.com", True),
        ("www.semalt.com", True),
        ("3.semalt.com", True),
        ("notsemalt.com", False),
        ("semalt.com.example", False),
        ("com", False),
        ("", False),
    ],
)
def test_it_knows_spammers(host: str, spam: bool) -> None:
    assert is_spammer(host, read_spammers("")) is spam


def test_it_reads_another_list(tmp_path: Path) -> None:
    file = tmp_path / "spammers.txt"
    file.write_text("# theirs\nSpam.Example\n\nother.example # since May\n")
    assert read_spammers(str(file)) == {"spam.example", "other.example"}
