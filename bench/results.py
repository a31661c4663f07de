"""RESULTS.md: each benchmark owns one section, between two comments."""

import re
from collections.abc import Sequence
from pathlib import Path

PATH = Path(__file__).parent / "RESULTS.md"
_BEGINNING = """\
# Results

Written by `make bench-count`, `bench-count-protocol`, `bench-ingest` and `bench-enrichment`; each
replaces its own section. Figures of different days or machines don't compare, ratios within one
run do.
"""


def write_section(name: str, text: str, path: Path = PATH) -> None:
    """Replace the section, or add it to the end."""
    page = path.read_text() if path.exists() else _BEGINNING
    section = f"<!-- {name} -->\n{text.strip()}\n<!-- /{name} -->"
    there = re.compile(f"<!-- {re.escape(name)} -->.*?<!-- /{re.escape(name)} -->", re.DOTALL)
    if there.search(page):
        page = there.sub(lambda _: section, page)
    else:
        page = f"{page.rstrip()}\n\n{section}\n"
    path.write_text(page)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are flush right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))
