from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.access_log import EventIds, MalformedLine, read_line, skip_reason

REAL_LOG = Path(__file__).parents[3] / "shared" / "data" / "apache_logs"
LINE = (
    '83.149.9.216 - frank [17/May/2015:10:05:03 +0200] "GET /a?b=1 HTTP/1.1" 200 203 '
    '"http://x.example/" "Mozilla/5.0 (a; \\"b\\")"'
)


def test_it_reads_a_combined_line() -> None:
    request = read_line(LINE)
    assert (request.address, request.method, request.target) == ("83.149.9.216", "GET", "/a?b=1")
    assert request.ts == 1431849903000
    assert request.referrer == "http://x.example/"
    assert skip_reason(request) is None


@pytest.mark.parametrize(
    "line",
    [
        '1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 -',
        '::1 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 304 0 "-" "-" 0.012 "x"',
        '1.2.3.4 - John Doe [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5 "" ""',
    ],
)
def test_it_reads_other_lines_of_the_formats(line: str) -> None:
    assert skip_reason(read_line(line)) is None
    assert read_line(line).referrer is None


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("", "empty"),
        ("hello", "neither"),
        (LINE[:-1], "not closed"),
        (LINE.replace("May", "Mai"), "time"),
        (LINE.replace("GET /a?b=1 HTTP/1.1", "-"), "no method and path"),
    ],
)
def test_it_says_what_is_wrong_with_a_line(line: str, complaint: str) -> None:
    with pytest.raises(MalformedLine, match=complaint):
        read_line(line)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("GET", "POST"), "not a GET"),
        ((" 200 ", " 404 "), "status"),
        (("/a?b=1", "/a.png?x=/y"), "not a page"),
        (("/a?b=1", "/a.html?x=y.png"), None),
        (("/a?b=1", "/dir.d/"), None),
        (("/a?b=1", "/a#b.png"), None),
    ],
)
def test_it_knows_a_page_view(change: tuple[str, str], reason: str | None) -> None:
    found = skip_reason(read_line(LINE.replace(*change)))
    assert found is None if reason is None else reason in str(found)


@given(st.text())
def test_it_reads_or_refuses_anything(line: str) -> None:
    try:
        read_line(line)
    except MalformedLine as error:
        assert str(error)


def test_it_gives_identical_lines_their_own_ids_each_time_the_same() -> None:
    def ids_of(site: str) -> list[str]:
        return list(map(EventIds(site).of, ["a", "b", "a"]))

    first = ids_of("s")
    assert len(set(first)) == 3
    assert first == ids_of("s")
    assert first != ids_of("t")


def test_it_forgets_lines_of_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EventIds, "MOST", 2)
    ids = EventIds("s")
    assert [ids.of(line)[-1] for line in "aabca"] == ["1", "2", "1", "1", "3"]
    for line in "defgh":
        ids.of(line)
    assert ids.of("a").endswith("-1")


@pytest.mark.skipif(not REAL_LOG.exists(), reason=f"the real log is not at {REAL_LOG}")
def test_it_finds_the_ground_truth_of_a_real_log() -> None:
    views, malformed = [], []
    for number, line in enumerate(REAL_LOG.read_text(errors="replace").splitlines(), 1):
        try:
            request = read_line(line)
        except MalformedLine:
            malformed.append(number)
        else:
            if skip_reason(request) is None:
                views.append(request)
    days = Counter(datetime.fromtimestamp(view.ts / 1000, UTC).day for view in views)
    assert malformed == [8899]
    assert len(views) == 3_617
    assert len({view.address for view in views}) == 1_112
    assert days == {17: 658, 18: 1_194, 19: 952, 20: 813}
