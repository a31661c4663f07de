"""Dead letters in real topics: listed, shown, replayed, and counted once."""

from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from ingest import pageview
from ingest.pageview import PageView, encode
from processing import dead_letter_replay
from processing.dead_letter_replay import Mailbox, Replayer
from processing.duplicates import DuplicateWindows
from processing.log import LogUnavailable
from processing.models import Replay
from processing.rules import SiteRules
from processing.stats import now_ms
from tests.processing.pipeline import SITE, Pipeline, page_view
from tests.processing.wiring import add_sites, wire

pytestmark = pytest.mark.django_db
embedded = pytest.mark.parametrize("servers", ["embedded"], indirect=True)

HOUR_MS = 3_600_000


@pytest.fixture(autouse=True)
def wired(pipeline: Pipeline, settings: Any, tmp_path: Path) -> None:
    wire(pipeline, settings, tmp_path)
    add_sites(pipeline, {SITE: SiteRules()})


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("dead_letters", *arguments, stdout=out)
    return out.getvalue()


def of_next_version(**fields: Any) -> bytes:
    """A page view that this version can't read, and the next one can."""
    hour_ago = now_ms() - HOUR_MS
    return encode(page_view(**{"v": 2, "ts": hour_ago, "received": hour_ago, **fields}))


def upgrade(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this version read version 2, and write it."""
    monkeypatch.setattr(pageview, "VERSION", 2)


def bury(pipeline: Pipeline, *messages: bytes) -> None:
    pipeline.send(messages, partition=0)
    pipeline.count_all(len(messages))


def ledger(pipeline: Pipeline) -> dict[str, int]:
    totals: dict[str, int] = pipeline.stats.ledger()["totals"]
    return {name: totals[name] for name in ("counted", "duplicate", "invalid")}


def count_up_to(pipeline: Pipeline, read: int) -> dict[str, int]:
    pipeline.count_all(read)
    return ledger(pipeline)


def test_it_lists_them_newest_last(pipeline: Pipeline) -> None:
    assert run() == "No dead letters.\n"
    bury(pipeline, b"first", b"\xff\xfe", b"x" * 500)
    first, second, third = run().splitlines()
    assert first.startswith("0-0  JSON is malformed")
    assert f"from {pipeline.topic} 0-0  5 bytes: b'first'" in first
    assert r"2 bytes: b'\xff\xfe'" in second
    assert "500 bytes" in third and len(third) < 250
    assert run("list", "--limit", "1").splitlines() == [third]
    assert run("--limit", "2").splitlines() == [second, third]


def test_it_shows_one_whole(pipeline: Pipeline) -> None:
    bury(pipeline, b"?", b"x" * 500 + b"\xff")
    shown = run("show", "1")
    assert f"log: {pipeline.log.describe().id}\n" in shown
    assert "partition: 0\noffset: 1\n" in shown and "replayed: no\n" in shown
    assert shown.endswith("\n\n" + "x" * 500 + "\\xff\n")
    assert run("show", "0-1") == shown


def test_it_replays_what_can_be_read_by_now(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour_ago = now_ms() - HOUR_MS
    bury(pipeline, of_next_version(path="/a", ts=hour_ago), b"never readable")
    with pytest.raises(CommandError, match="2 letters were not replayed"):
        run("replay", "--all")
    upgrade(monkeypatch)
    with pytest.raises(CommandError, match="1 letters were not replayed"):
        run("replay", "--all")
    assert count_up_to(pipeline, 3) == {"counted": 1, "duplicate": 0, "invalid": 2}
    assert "(replayed)" in run().splitlines()[0]
    again = [m.value() for p in (0, 1) for m in pipeline.log.read(p, 0, pipeline.log.ends(2)[p])]
    (view,) = [pageview.decode(value) for value in again if b"dead:" in (value or b"")]
    assert (view.path, view.ts, view.retryable) == ("/a", hour_ago, True)
    assert view.id == f"dead:0-0:{pipeline.log.describe().id}"


@embedded
def test_it_replays_each_letter_once(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    bury(pipeline, of_next_version(), of_next_version(id="own", retryable=True))
    upgrade(monkeypatch)
    assert run("replay", "--all") == ("2 replayed, 0 had been replayed before, 0 stay.\n")
    assert run("replay", "--all", "--force").startswith("0 replayed, 2 had been")
    assert run("replay", "1").startswith("0 replayed, 1 had been")
    assert count_up_to(pipeline, 4) == {"counted": 2, "duplicate": 0, "invalid": 2}


@embedded
def test_it_counts_once_when_it_is_killed_after_sending(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    bury(pipeline, of_next_version())
    upgrade(monkeypatch)
    for read in (2, 3):
        run("replay", "0")
        assert count_up_to(pipeline, read)["counted"] == 1
        Replay.objects.update(done_at=None)
    assert ledger(pipeline) == {"counted": 1, "duplicate": 1, "invalid": 1}


@embedded
def test_it_counts_once_long_after_a_kill(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The id is still remembered although the clocks have gone on by weeks."""
    bury(pipeline, of_next_version())
    upgrade(monkeypatch)
    (letter,) = Mailbox.from_settings().letters()
    replayer = new_replayer(pipeline)
    now = timezone.now()
    assert replayer.replay(letter, now)
    Replay.objects.update(done_at=None)
    pipeline.count_all(2)
    later = now + timedelta(days=28)
    for partition in (0, 1):
        pipeline.send([page_view(v=2, received=round(later.timestamp() * 1000))] * 2, partition)
    pipeline.count_all(6)
    assert replayer.replay(letter, later)
    assert count_up_to(pipeline, 7) == {"counted": 5, "duplicate": 1, "invalid": 1}


@embedded
def test_it_never_repeats_a_try_whose_id_may_be_forgotten(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    bury(pipeline, of_next_version())
    upgrade(monkeypatch)
    run("replay", "0")
    long_ago = timezone.now() - timedelta(days=29, hours=1)
    Replay.objects.update(started_at=long_ago, done_at=None)
    with pytest.raises(CommandError):
        run("replay", "0")
    assert Replay.objects.get().done_at is None


@embedded
def test_it_takes_copies_of_a_letter_for_one(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    bury(pipeline, of_next_version())
    pipeline.client.flushall()
    pipeline.count_all(1)
    assert len(run().splitlines()) == 2
    upgrade(monkeypatch)
    assert run("replay", "--all").startswith("1 replayed, 1 had been replayed before")


@embedded
def test_it_waits_until_an_event_is_old_enough_to_be_remembered(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    bury(pipeline, of_next_version(ts=now_ms() - 60_000))
    upgrade(monkeypatch)
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("dead_letters", "replay", "0", stdout=out)
    assert "happened less than 10 minutes ago" in out.getvalue()
    assert not Replay.objects.exists()


@embedded
def test_it_sends_what_nobody_can_read_when_it_is_forced(pipeline: Pipeline) -> None:
    bury(pipeline, b"?")
    assert run("replay", "0", "--force").startswith("1 replayed")
    assert count_up_to(pipeline, 2) == {"counted": 0, "duplicate": 0, "invalid": 2}


@embedded
def test_it_says_what_was_not_safe(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    bury(pipeline, of_next_version())
    upgrade(monkeypatch)

    def refuse(*_: Any) -> None:
        raise LogUnavailable("Kafka did not acknowledge it")

    monkeypatch.setattr(dead_letter_replay.Replayer, "_send", refuse)
    with pytest.raises(CommandError, match="Running the command again is safe"):
        run("replay", "0")
    assert Replay.objects.get().done_at is None


@embedded
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["replay"], "--all"),
        (["replay", "1", "--all"], "--all"),
        (["show", "x"], "'x' is no place"),
        (["show", "7"], "no dead letter at 7"),
        (["show", "3-0"], "no dead letter at 3-0"),
        (["list", "--limit", "0"], "at least 1"),
    ],
)
def test_it_refuses_with_a_sentence(pipeline: Pipeline, arguments: list[str], reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        run(*arguments)


def new_replayer(pipeline: Pipeline) -> Replayer:
    windows = DuplicateWindows(recent=600_000, backfill=30 * 86_400_000)
    return Replayer(pipeline.servers.bootstrap_servers, pipeline.topic, windows)


def test_a_version_that_is_read_is_written_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests above rely on."""
    upgrade(monkeypatch)
    assert isinstance(pageview.decode(of_next_version()), PageView)
