"""Real Celery workers, killed and started again, and `manage.py archive`."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from celery import Celery

from tests.processing.pipeline import Pipeline, page_view, wait_for
from tests.s3 import CREDENTIALS
from tracker_site import settings as settings_module

embedded = pytest.mark.parametrize("servers", ["embedded"], indirect=True)
folder = pytest.mark.parametrize("archive_url", ["folder"], indirect=True)


class Deployment:
    """One topic, database and archive, and the processes that a test starts with them."""

    def __init__(self, pipeline: Pipeline, database: Path, archive_url: str) -> None:
        self._database = database
        self._redis_url = pipeline.servers.redis_url
        self.environment = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": pipeline.servers.bootstrap_servers,
            "KAFKA_TOPIC": pipeline.topic,
            "REDIS_URL": self._redis_url,
            "DATABASE_URL": f"sqlite:///{database}",
            "ARCHIVE_URL": archive_url,
            "ARCHIVE_SEGMENT_EVENTS": "10",
            "LOG_FORMAT": "text",
        }

    @contextmanager
    def worker(self, **changes: str) -> Iterator["subprocess.Popen[bytes]"]:
        """A Celery worker; it and its children are killed at the end."""
        command = "-m celery --quiet -A tracker_site worker --concurrency=1 --without-mingle"
        process = subprocess.Popen(
            [sys.executable, *command.split()],
            cwd=settings_module.BASE_DIR,
            env=self.environment | changes,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            kill(process)

    def send_archive(self, again_after_s: float) -> None:
        """What beat does."""
        with Celery(broker=self._redis_url, set_as_current=False) as app:
            app.send_task("processing.tasks.archive", [again_after_s], expires=60)

    def command(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "manage.py", "archive"],
            cwd=settings_module.BASE_DIR,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def segments(self) -> list[tuple[int, int, int, str]]:
        with closing(sqlite3.connect(self._database, timeout=20)) as connection:
            return connection.execute(
                "SELECT partition, start, end, state FROM processing_segment "
                "ORDER BY partition, start"
            ).fetchall()

    def states(self) -> list[str]:
        return [state for *_, state in self.segments()]


def kill(process: "subprocess.Popen[bytes]") -> None:
    """With all its children, at once."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture
def deployment(pipeline: Pipeline, database: Path, archive_url: str) -> Deployment:
    return Deployment(pipeline, database, archive_url)


def archived(folder: Path) -> list[tuple[int, int]]:
    """(partition, offset) of every event in the archive."""
    tables = [pq.ParquetFile(path).read() for path in folder.rglob("*.parquet")]
    return sorted(
        (row["partition"], row["offset"])
        for table in tables
        for row in table.select(["partition", "offset"]).to_pylist()
    )


@embedded
def test_a_worker_archives_what_beat_asks_for(deployment: Deployment, pipeline: Pipeline) -> None:
    pipeline.send((page_view() for _ in range(25)), partition=0)
    with deployment.worker():
        deployment.send_archive(600)
        wait_for(lambda: deployment.states() == ["written"] * 3, "three segments to be written")
        pipeline.send((page_view() for _ in range(5)), partition=1)
        deployment.send_archive(600)
        wait_for(lambda: deployment.states() == ["written"] * 4, "a fourth one")
    ranges = [(partition, start, end) for partition, start, end, _ in deployment.segments()]
    assert ranges == [(0, 0, 10), (0, 10, 20), (0, 20, 25), (1, 0, 5)]


@embedded
@folder
def test_what_a_killed_worker_had_in_hand_is_handed_out_again(
    deployment: Deployment, pipeline: Pipeline, tmp_path: Path
) -> None:
    """The first worker hangs at a store that never answers, and is killed there."""
    pipeline.send((page_view() for _ in range(25)), partition=0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        url = f"s3://bucket/raw?endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"
        silent.settimeout(60)
        with deployment.worker(ARCHIVE_URL=url, **CREDENTIALS) as first:
            # Its segments are to be free again after a second instead of ten minutes.
            deployment.send_archive(1)
            with silent.accept()[0]:
                kill(first)
    assert deployment.states() == ["planned"] * 3
    with deployment.worker():

        def all_written() -> bool:
            deployment.send_archive(600)
            return deployment.states() == ["written"] * 3

        wait_for(all_written, "the segments to be handed out again and written", every=0.5)
    assert archived(tmp_path / "archive") == [(0, offset) for offset in range(25)]


@folder
def test_the_command_archives_everything_once_however_often_it_runs(
    deployment: Deployment, pipeline: Pipeline, tmp_path: Path
) -> None:
    pipeline.send((page_view() for _ in range(95)), partition=0)
    pipeline.send((page_view() for _ in range(8)), partition=1)
    together = [deployment.command() for _ in range(3)]
    for process in together:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert f"events written to file://{tmp_path / 'archive'}\n" in out
    everything = [(0, offset) for offset in range(95)] + [(1, offset) for offset in range(8)]
    assert archived(tmp_path / "archive") == everything
    ranges = [(partition, start, end) for partition, start, end, _ in deployment.segments()]
    assert ranges == [*((0, n, min(n + 10, 95)) for n in range(0, 95, 10)), (1, 0, 8)]
    out, err = deployment.command().communicate(timeout=60)
    assert out == f"0 segments, 0 events written to file://{tmp_path / 'archive'}\n"
    assert err == ""


@embedded
@folder
def test_the_command_names_what_it_could_not_archive(
    deployment: Deployment, pipeline: Pipeline, tmp_path: Path
) -> None:
    pipeline.send((page_view() for _ in range(15)), partition=0)
    (tmp_path / "archive").write_text("a file, no folder")
    process = deployment.command()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out.startswith("0 segments, 0 events written to file://")
    assert "2 segments could not be archived:" in err
    assert "partition 0, offsets 10 to 14 (failed): " in err
    (tmp_path / "archive").unlink()
    out, err = deployment.command().communicate(timeout=60)
    assert out.startswith("2 segments, 15 events written to"), err


@embedded
@folder
def test_the_command_says_that_kafka_is_away(deployment: Deployment) -> None:
    deployment.environment["KAFKA_BOOTSTRAP_SERVERS"] = "127.0.0.1:9"
    process = deployment.command()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Nothing was archived: topic" in err
