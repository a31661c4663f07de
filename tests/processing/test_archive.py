"""Segments from real brokers into a folder and a real S3 server, and back."""

import errno
import gc
import json
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pyarrow as pa
import pytest
from pyarrow.fs import FileSelector, FileSystem

from ingest.pageview import PageView, UndecodableMessage, decode
from processing import parquet
from processing.archive import GONE_AFTER_ATTEMPTS, Archive, backoff, try_again
from processing.archive_plan import EXPIRED
from processing.log import Log, LogUnavailable
from processing.models import Segment
from processing.object_store import ArchiveUrlError, ObjectStore
from tests.processing.pipeline import Pipeline, page_view
from tests.s3 import CREDENTIALS, S3Server, cut_after

pytestmark = pytest.mark.django_db
embedded = pytest.mark.parametrize("servers", ["embedded"], indirect=True)
apache = pytest.mark.parametrize("servers", ["apache"], indirect=True)
# The embedded broker's records and a folder: for what depends on neither.
folder = pytest.mark.parametrize("archive_url", ["folder"], indirect=True)

NOW = datetime(2026, 11, 22, 23, 59, tzinfo=UTC)
UNDECODABLE = [b"", b"not json", b"\xff\xfe", b'{"v":2}']


def archive_of(pipeline: Pipeline, url: str, most: int = 10, now: datetime = NOW) -> Archive:
    log = Log(pipeline.servers.bootstrap_servers, pipeline.topic)
    return Archive(log, ObjectStore(url), most, lambda: now)


def write_all(archive: Archive) -> list[Segment]:
    segments = archive.plan()
    for segment in segments:
        archive.write(segment)
    return segments


def events_of(table: pa.Table) -> Iterator[tuple[int, int, PageView | bytes]]:
    """The rows as (partition, offset, what the log held there)."""
    for row in table.to_pylist():
        partition, offset, raw = row.pop("partition"), row.pop("offset"), row.pop("raw")
        props = row.pop("props")
        if raw is None:
            yield partition, offset, PageView(**row, props=json.loads(props) if props else None)
        else:
            assert set(row.values()) == {None}
            yield partition, offset, raw


def logged(log: Log) -> Iterator[tuple[int, int, PageView | bytes]]:
    """The same, read from Kafka."""
    for partition, end in sorted(log.ends(2).items()):
        for message in log.read(partition, 0, end):
            value = message.value()
            try:
                yield partition, message.offset() or 0, decode(value)
            except UndecodableMessage:
                yield partition, message.offset() or 0, value or b""


def objects(url: str) -> dict[str, int]:
    """Every file below the archive's URL, hidden ones too, and its size."""
    filesystem, path = FileSystem.from_uri(url)
    found = filesystem.get_file_info(FileSelector(path, recursive=True, allow_not_found=True))
    return {f.path.removeprefix(f"{path}/"): f.size for f in found if f.is_file}


def content(archive: Archive, segment: Segment) -> bytes:
    with archive.store.open(segment.key) as file:
        return bytes(file.read())


def test_it_archives_each_event_exactly_once(
    pipeline: Pipeline, archive_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_EVENTS", 4)
    props: dict[str, Any] = {"plan": "pro", "price": 9.5, "n": 10**25, "new": True}
    pipeline.send([page_view(f"/{n}", title="Ü") for n in range(11)], partition=0)
    pipeline.send([*UNDECODABLE, page_view(props=props, bot="x", country="DE")], partition=0)
    pipeline.send([page_view(id=str(n), retryable=True) for n in range(10)], partition=1)
    archive = archive_of(pipeline, archive_url)
    segments = write_all(archive)
    assert [(s.partition, s.start, s.end, s.rows, s.state) for s in segments] == [
        (0, 0, 10, 10, "written"),
        (0, 10, 16, 6, "written"),
        (1, 0, 10, 10, "written"),
    ]
    archived = [event for segment in segments for event in events_of(archive.read(segment))]
    assert archived == list(logged(pipeline.log))
    assert [raw for _, _, raw in archived if isinstance(raw, bytes)] == UNDECODABLE
    assert objects(archive_url) == {segment.key: segment.bytes for segment in segments}
    log_id = pipeline.log.describe().id
    assert segments[1].key == (
        f"pageviews/date=2026-11-22/log={log_id}/p=00/"
        "00000000000000000010-00000000000000000016.parquet"
    )


def test_it_reads_objects_of_before_there_was_enrichment() -> None:
    event = page_view("/old", browser=None)
    row = {name: getattr(event, name) for name in ("id", "site", "visitor", "path", "ts")}
    row |= {"received": event.received, "v": 1, "name": "pageview", "retryable": False}
    old = pa.RecordBatch.from_pylist([row | {"offset": 7, "props": None, "raw": None}])
    assert [parquet.page_view_of(row) for row in old.to_pylist()] == [event]


def test_the_columns_are_the_fields_of_the_message() -> None:
    assert set(parquet.SCHEMA.names) == {
        "partition",
        "offset",
        "raw",
        *(field.name for field in msgspec.structs.fields(PageView)),
    }


def test_it_archives_nothing_twice_and_the_same_bytes_each_time(
    pipeline: Pipeline, archive_url: str
) -> None:
    pipeline.send((page_view() for _ in range(10)), partition=0)
    archive = archive_of(pipeline, archive_url)
    (segment,) = write_all(archive)
    first = content(archive, segment)
    assert archive.plan() == []
    Segment.objects.update(state=Segment.State.PLANNED)
    segment.refresh_from_db()
    archive_of(pipeline, archive_url, now=NOW + timedelta(days=1)).write(segment)
    assert segment.state == "written"
    assert content(archive, segment) == first
    assert len(objects(archive_url)) == 1
    pipeline.send((page_view() for _ in range(2)), partition=0)
    (following,) = write_all(archive)
    assert (following.start, following.end) == (10, 12)


@folder
def test_it_never_archives_a_new_log_under_the_old_ones_id(
    pipeline: Pipeline, archive_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline.send((page_view("/old") for _ in range(5)), partition=0)
    archive = archive_of(pipeline, archive_url)
    (old,) = archive.plan()
    pipeline.make_topic_again()
    again = Pipeline(pipeline.servers, pipeline.topic, pipeline.client)
    again.send((page_view("/new") for _ in range(5)), partition=0)
    archive = archive_of(again, archive_url)
    archive.write(old)
    assert (old.state, old.key, old.due_at) == ("lost", "", None)
    assert "was deleted and made again" in old.error and old.error in caplog.text
    (new,) = write_all(archive)
    assert (new.start, new.end, new.rows) == (0, 5, 5)
    assert new.topic_id != old.topic_id
    assert set(objects(archive_url)) == {new.key}
    assert archive.read(new)["path"].to_pylist() == ["/new"] * 5


@folder
def test_it_gives_up_what_is_of_a_topic_that_was_deleted(
    pipeline: Pipeline, archive_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Not at once, and an operator may have it tried again."""
    pipeline.send((page_view() for _ in range(5)), partition=0)
    archive = archive_of(pipeline, archive_url)
    (segment,) = archive.plan()
    key = segment.key
    pipeline.delete_topic()
    for attempts in range(1, GONE_AFTER_ATTEMPTS):
        archive.write(segment)
        assert (segment.state, segment.attempts) == ("failed", attempts)
        assert "can't be described" in segment.error
    archive.write(segment)
    assert (segment.state, segment.key, segment.due_at) == ("lost", "", None)
    assert "was deleted before these events" in segment.error and segment.error in caplog.text
    assert archive.claim_due(timedelta(minutes=10)) == []
    assert try_again(segment, NOW)
    (again,) = archive.claim_due(timedelta(minutes=10))
    assert (again.state, again.key) == ("failed", key)
    archive.write(again)
    assert again.state == "lost"


@embedded
@folder
def test_it_does_not_give_up_while_kafka_is_away(pipeline: Pipeline, archive_url: str) -> None:
    pipeline.send((page_view() for _ in range(5)), partition=0)
    (segment,) = archive_of(pipeline, archive_url).plan()
    away = Archive(Log("127.0.0.1:9", pipeline.topic, 0.5), ObjectStore(archive_url), 10)
    Segment.objects.update(attempts=100)
    segment.refresh_from_db()
    away.write(segment)
    assert (segment.state, segment.attempts) == ("failed", 101)
    assert not try_again(Segment(pk=0, planned_at=NOW, partition=0, start=0, end=1), NOW)
    archive_of(pipeline, archive_url).write(segment)
    assert (segment.state, segment.rows) == ("written", 5)


@embedded
@folder
def test_it_notices_a_log_that_changes_while_it_is_read(
    pipeline: Pipeline, archive_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.send((page_view() for _ in range(5)), partition=0)
    archive = archive_of(pipeline, archive_url)
    (segment,) = archive.plan()
    read = Log.read

    def read_then_remake(log: Log, *offsets: int) -> Iterator[Any]:
        yield from read(log, *offsets)
        pipeline.make_topic_again()

    monkeypatch.setattr(Log, "read", read_then_remake)
    archive.write(segment)
    assert segment.state == "lost"
    assert objects(archive_url) == {}


@embedded
@folder
def test_it_keeps_what_a_killed_try_had_stored_of_a_log_that_is_gone(
    pipeline: Pipeline, archive_url: str
) -> None:
    pipeline.send((page_view() for _ in range(5)), partition=0)
    archive = archive_of(pipeline, archive_url)
    (segment,) = write_all(archive)
    Segment.objects.update(state=Segment.State.PLANNED, rows=None, bytes=None)
    segment.refresh_from_db()
    pipeline.make_topic_again()
    archive.write(segment)
    assert (segment.state, segment.rows) == ("written", 5)


@apache
@folder
def test_it_archives_what_is_left_of_a_segment_that_expired(
    pipeline: Pipeline, archive_url: str
) -> None:
    pipeline.send((page_view() for _ in range(10)), partition=0)
    pipeline.send((page_view() for _ in range(4)), partition=1)
    archive = archive_of(pipeline, archive_url)
    part, whole = archive.plan()
    pipeline.expire(0, before=7)
    pipeline.expire(1, before=4)
    archive.write(part)
    archive.write(whole)
    assert (part.start, part.end, part.state, part.error) == (0, 7, "lost", EXPIRED)
    assert (whole.start, whole.end, whole.state, whole.error) == (0, 4, "lost", EXPIRED)
    (left,) = archive.claim_due(timedelta(minutes=10))
    archive.write(left)
    assert (left.start, left.end, left.rows, left.state) == (7, 10, 3, "written")
    assert archive.plan() == []


@folder
def test_a_read_gives_the_whole_range_or_fails(pipeline: Pipeline, archive_url: str) -> None:
    pipeline.send((page_view() for _ in range(10)), partition=0)
    log = Log(pipeline.servers.bootstrap_servers, pipeline.topic, timeout=2.0)
    assert [message.offset() for message in log.read(0, 3, 10)] == list(range(3, 10))
    assert list(log.read(0, 10, 10)) == []
    for start, end in ((5, 11), (10, 11), (15, 20)):
        with pytest.raises(LogUnavailable):
            list(log.read(0, start, end))
    with pytest.raises(LogUnavailable, match="ends at offset 10, 12 was asked for"):
        list(log.read(0, 0, 12))
    archive = Archive(log, ObjectStore(archive_url), 10, lambda: NOW)
    (segment,) = archive.plan()
    Segment.objects.update(end=12)
    segment.refresh_from_db()
    archive.write(segment)
    assert segment.state == "failed" and "ends at offset 10" in segment.error
    assert objects(archive_url) == {}


@apache
def test_a_read_of_what_expired_fails(pipeline: Pipeline) -> None:
    pipeline.send((page_view() for _ in range(10)), partition=0)
    pipeline.expire(0, before=5)
    with pytest.raises(LogUnavailable):
        list(pipeline.log.read(0, 4, 10))
    assert len(list(pipeline.log.read(0, 5, 10))) == 5


@embedded
def test_it_tries_again_when_the_store_is_back(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    pipeline.send((page_view() for _ in range(10)), partition=0)
    server = S3Server(tmp_path)
    try:
        server.start()
        url = server.new_bucket()
        archive = archive_of(pipeline, url)
        (segment,) = archive.plan()
        server.kill()
        archive.write(segment)
        assert (segment.state, segment.attempts) == ("failed", 1)
        assert segment.due_at == NOW + timedelta(seconds=30)
        assert "Could not connect" in segment.error
        server.start()
        server.make_bucket(urlsplit(url).netloc)
        assert objects(url) == {}
        later = archive_of(pipeline, url, now=NOW + timedelta(seconds=31))
        assert archive.claim_due(timedelta(minutes=10)) == []
        (due,) = later.claim_due(timedelta(minutes=10))
        later.write(due)
        assert (due.state, due.error, due.due_at) == ("written", "", None)
        assert objects(url) == {due.key: due.bytes}
    finally:
        server.stop()


@embedded
@folder
def test_it_tries_again_when_the_folder_can_be_written(
    pipeline: Pipeline, archive_url: str
) -> None:
    pipeline.send((page_view() for _ in range(10)), partition=0)
    archive = archive_of(pipeline, archive_url)
    (segment,) = archive.plan()
    in_the_way = Path(urlsplit(archive_url).path)
    in_the_way.write_text("a file, no folder")
    archive.write(segment)
    assert segment.state == "failed" and "Not a directory" in segment.error
    in_the_way.unlink()
    archive.write(segment)
    assert (segment.state, segment.attempts) == ("written", 1)


def test_an_upload_to_s3_that_breaks_off_leaves_nothing(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is cut in the second of three parts; at that time the first one is stored."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    url = s3.new_bucket()
    source = tmp_path / "source"
    source.write_bytes(os.urandom(25_000_000))
    with cut_after(s3.port, 15_000_000) as port, pytest.raises(OSError):
        ObjectStore(url.replace(f":{s3.port}", f":{port}")).put(source, "pageviews/object")
    gc.collect()
    assert objects(url) == {}
    assert ObjectStore(url).put(source, "pageviews/object") == 25_000_000
    assert objects(url) == {"pageviews/object": 25_000_000}


@folder
def test_a_copy_into_a_folder_that_breaks_off_leaves_nothing(
    archive_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(_: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", break_off)
    with pytest.raises(OSError, match="No space left"):
        ObjectStore(archive_url).put(tmp_path / "source", "pageviews/object")
    assert objects(archive_url) == {}


@embedded
@folder
def test_each_due_segment_is_handed_out_to_one(pipeline: Pipeline, archive_url: str) -> None:
    pipeline.send((page_view() for _ in range(20)), partition=0)
    first, second = archive_of(pipeline, archive_url).plan()
    archive = archive_of(pipeline, archive_url)
    assert archive.claim_due(timedelta(minutes=10)) == [first, second]
    assert archive.claim_due(timedelta(minutes=10)) == []
    archive.write(first)
    later = archive_of(pipeline, archive_url, now=NOW + timedelta(minutes=10))
    assert later.claim_due(timedelta(minutes=10)) == [second]


@embedded
@folder
def test_what_is_written_stays_written(pipeline: Pipeline, archive_url: str) -> None:
    """Whatever another process, that was slower, finds out about it."""
    pipeline.send((page_view() for _ in range(5)), partition=0)
    archive = archive_of(pipeline, archive_url)
    (segment,) = archive.plan()
    slower = Segment.objects.get(pk=segment.pk)
    archive.write(segment)
    broken = archive_of(pipeline, f"{archive_url}/{segment.key}")
    broken.write(slower)
    assert (slower.state, slower.attempts, slower.error) == ("written", 0, "")


@pytest.mark.parametrize(
    ("url", "reason"), [("gopher://x/y", "Unrecognized filesystem"), ("archive", "empty scheme")]
)
def test_it_refuses_an_url_that_it_can_not_use(url: str, reason: str) -> None:
    with pytest.raises(ArchiveUrlError, match=rf"{reason}.*file:///folder or s3://"):
        ObjectStore(url).size("x")


def test_it_shows_no_credentials() -> None:
    assert str(ObjectStore("s3://key:secret@bucket/raw?scheme=http")) == "s3://bucket/raw"
    assert str(ObjectStore("file:///srv/archive")) == "file:///srv/archive"


def test_it_waits_longer_from_failure_to_failure() -> None:
    waits = [backoff(attempts).total_seconds() for attempts in (1, 2, 3, 7, 8, 9, 10_000)]
    assert waits == [30, 60, 120, 1_920, 3_600, 3_600, 3_600]


def test_it_reads_files_that_were_written_before_a_field_came() -> None:
    row = {"id": "x", "site": "s", "visitor": "v", "path": "/", "ts": 1, "received": 2}
    event = parquet.page_view_of({**row, "browser": None, "props": '{"n":1}'})
    assert (event.path, event.browser_version, event.props) == ("/", None, {"n": 1})
