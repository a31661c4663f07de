"""The command against the product's own views, over a real socket, into a real Kafka."""

import gzip
from collections.abc import Callable, Iterator
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from ingest import log_lines
from ingest.door import Door, Limits
from ingest.rate_limit import TokenBuckets
from ingest.track_client import TrackClient, TrackError
from tests.conftest import Servers
from tests.ingest.test_import_formats import CLOUDFRONT, GOATCOUNTER, PLAUSIBLE, UMAMI
from tests.ingest.test_track import logged

LINE = '1.2.3.{n} - - [17/May/2015:10:05:0{n} +0000] "GET /{n} HTTP/1.1" 200 9 "-" "-"\n'


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    path = tmp_path / "access.log"
    lines = [LINE.format(n=n) for n in range(5)]
    path.write_text("".join(lines) + LINE.format(n=0) + "broken\n" + LINE.format(n=9)[:-2] + "\n")
    return path


@pytest.fixture
def url(door: Door, transactional_db: None, live_server: Any) -> Iterator[str]:
    yield live_server.url


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("import_log", *arguments, stdout=out)
    return out.getvalue()


def test_it_sends_each_page_view_with_its_own_id(
    url: str, log_file: Path, servers: Servers, topic: str
) -> None:
    arguments = (str(log_file), "--site", "localhost", "--url", url, "--batch", "2")
    report = run(*arguments)
    assert f"{log_file} line 7: malformed: it is neither" in report
    assert f"{log_file} line 8: malformed: a quotation mark is not closed" in report
    assert "8 lines: 6 page views accepted, 0 refused, 2 malformed, 0 skipped" in report
    first = logged(servers, topic)
    assert sorted(event.path for event in first) == ["/0", "/0", "/1", "/2", "/3", "/4"]
    assert len({event.id for event in first}) == 6
    run(*arguments)
    assert {event.id for event in logged(servers, topic)} == {event.id for event in first}


def test_it_reads_compressed_logs(url: str, log_file: Path) -> None:
    packed = log_file.with_suffix(".gz")
    packed.write_bytes(gzip.compress(log_file.read_bytes()))
    assert "6 page views accepted" in run(str(packed), "--site", "localhost", "--url", url)


@pytest.mark.parametrize("lines", [CLOUDFRONT, GOATCOUNTER, PLAUSIBLE, UMAMI])
def test_exports_are_imported_once(
    url: str, lines: list[str], tmp_path: Path, servers: Servers, topic: str
) -> None:
    export = tmp_path / "export.csv.gz"
    export.write_bytes(gzip.compress("\n".join(lines).encode()))
    arguments = (str(export), "--site", "localhost", "--url", url)
    run(*arguments)
    first = logged(servers, topic)
    assert first and all(event.retryable for event in first)
    run(*arguments)
    again = logged(servers, topic)
    assert len(again) == 2 * len(first)
    assert {event.id for event in again} == {event.id for event in first}
    assert {event.visitor for event in again} == {event.visitor for event in first}


def test_it_reads_standard_input(
    url: str, servers: Servers, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", StringIO(LINE.format(n=1) + LINE.format(n=2)))
    assert "2 page views accepted" in run("-", "--site", "localhost", "--url", url)
    assert sorted(event.path for event in logged(servers, topic)) == ["/1", "/2"]


def test_it_follows_a_log_that_is_rotated(
    url: str, tmp_path: Path, servers: Servers, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "access.log"
    path.write_text(LINE.format(n=0) + LINE.format(n=1)[:20])
    steps: Iterator[Callable[[], object]] = iter(
        [
            lambda: append(path, LINE.format(n=1)[20:]),
            lambda: (path.rename(tmp_path / "access.log.1"), path.write_text(LINE.format(n=2))),
            lambda: path.write_text(""),  # cut, as by copytruncate
            lambda: append(path, LINE.format(n=4)),
        ]
    )

    def sleep(_: float) -> None:
        step = next(steps, None)
        if step is None:
            raise KeyboardInterrupt
        step()

    monkeypatch.setattr(log_lines.followed, "__defaults__", (sleep,))
    told = run(str(path), "--site", "localhost", "--url", url, "--follow")
    assert "4 page views accepted" in told
    assert sorted(event.path for event in logged(servers, topic)) == ["/0", "/1", "/2", "/4"]


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_what_waits_is_sent_while_nothing_comes(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text("one\n")
    lines = log_lines.followed(path, sleep=lambda _: None)
    assert [next(lines), next(lines), next(lines)] == ["one", None, None]
    append(path, "two\n")
    assert "two" in [next(lines), next(lines)]


def test_it_says_which_column_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "visitors.csv"
    path.write_text('"date","visitors","pageviews"\n')
    with pytest.raises(CommandError, match=rf"{path} line 1: .*imported_pages"):
        run(str(path), "--site", "localhost")
    with pytest.raises(CommandError, match="the column 'page' is missing"):
        run(str(path), "--site", "localhost", "--format", "plausible")


def test_it_says_what_was_refused(url: str, log_file: Path) -> None:
    with pytest.raises(CommandError, match="6 page views were refused"):
        run(str(log_file), "--site", "nowhere.example", "--url", url)


def test_what_an_export_knows_is_kept(
    url: str, tmp_path: Path, servers: Servers, topic: str
) -> None:
    export = tmp_path / "export.csv"
    export.write_text("\n".join(UMAMI))
    run(str(export), "--site", "localhost", "--url", url)
    events = logged(servers, topic)
    assert {event.name for event in events} == {"pageview", "signup"}
    for event in events:
        assert (event.browser, event.os, event.device) == ("Chrome", "Linux", "desktop")
        assert event.country == "DE"


def test_it_says_that_it_lacks_the_key(
    url: str, tmp_path: Path, servers: Servers, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = tmp_path / "export.csv"
    export.write_text("\n".join(UMAMI))
    monkeypatch.setattr("ingest.track_client.sign", lambda body: "another key's")
    with pytest.raises(CommandError, match=r"HTTP 403: .*SECRET_KEY"):
        run(str(export), "--site", "localhost", "--url", url)
    assert logged(servers, topic) == []


def test_it_says_what_it_cannot_read_or_reach(tmp_path: Path, log_file: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        run(str(tmp_path / "missing"), "--site", "localhost")
    with pytest.raises(CommandError, match="must begin with http"):
        run(str(log_file), "--site", "localhost", "--url", "nonsense")
    with pytest.raises(CommandError, match="--batch is 0"):
        run(str(log_file), "--site", "localhost", "--batch", "0")


def test_it_waits_as_long_as_it_is_asked_and_tries_again(url: str, door: Door) -> None:
    now = 0.0
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        waits.append(seconds)
        now += seconds

    door.limits = Limits(address=TokenBuckets(0.5, 1, lambda: now))
    with closing(TrackClient(url, sleep=sleep)) as client:
        assert client.track({"page_url": "/1"})["status"] == "accepted"
        assert client.track({"page_url": "/2"})["status"] == "accepted"
    assert waits == [2.0]


def test_it_gives_up_with_a_sentence() -> None:
    waits: list[float] = []
    client = TrackClient("http://127.0.0.1:9", tries=3, sleep=waits.append)
    with pytest.raises(TrackError, match=r"in 3 tries: .*refused"):
        client.track({"page_url": "/"})
    assert len(waits) == 2


def test_send_pageview_shows_the_answer(url: str) -> None:
    out = StringIO()
    call_command("send_pageview", "--page-url", "/x", "--event-id", "e1", "--url", url, stdout=out)
    assert '"id": "e1"' in out.getvalue()
