from pathlib import Path

from bench.results import write_section


def test_a_benchmark_replaces_its_own_section_only(tmp_path: Path) -> None:
    page = tmp_path / "RESULTS.md"
    write_section("one", "first of one", page)
    write_section("two", "of two, with a \\1 in it", page)
    write_section("one", "second of one", page)
    text = page.read_text()
    assert "first of one" not in text
    assert text.index("second of one") < text.index("of two, with a \\1 in it")
