"""`make up` as a new user meets it: one command, real input, kills, stops and starts."""

import json
import os
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from processing.counters import connect
from tests.processing.pipeline import wait_for
from tests.stack import PYTHON, RunningStack
from tracker_site.embedded.child import BASE_DIR

REAL_LOG = BASE_DIR.parent / "shared" / "data" / "apache_logs"
FIRST_LOAD = {"user_id": "user123", "page_url": "/home", "timestamp": 1730814562}
MAY_2015 = "?from=2015-05-17&to=2015-05-20"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[RunningStack]:
    stack = RunningStack(tmp_path / "data")
    yield stack
    stack.close()


def totals(stack: RunningStack, site: str = "localhost", days: str = MAY_2015) -> dict[str, Any]:
    found: dict[str, Any] = stack.get(f"/api/v1/stats/{site}/totals{days}")
    return found


def views(stack: RunningStack, days: str = "?from=2024-11-05&to=2024-11-05") -> int:
    return int(totals(stack, days=days)["pageviews"])


def balance(stack: RunningStack) -> dict[str, int]:
    """What was read of every log there was."""
    ledger = stack.get("/api/v1/ledger")
    return {k: ledger["totals"][k] + ledger["earlier_logs"][k] for k in ledger["totals"]}


def archived_events(stack: RunningStack) -> list[tuple[Any, ...]]:
    """Site, path and id of every event in the archive."""
    rows: list[tuple[Any, ...]] = []
    for path in (stack.directory / "archive").rglob("*.parquet"):
        table = pq.read_table(path, columns=["site", "path", "id"], partitioning=None)
        rows += [tuple(row.values()) for row in table.to_pylist()]
    return rows


@pytest.mark.skipif(not REAL_LOG.exists(), reason=f"the real log is not at {REAL_LOG}")
def test_it_counts_a_real_log_exactly_whatever_is_killed_and_stopped(
    stack: RunningStack,
) -> None:
    stack.start()
    importing = subprocess.Popen(
        [PYTHON, "manage.py", "import_log", str(REAL_LOG), "--site", "localhost", "--batch", "50"],
        cwd=BASE_DIR,
        env=stack.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_for(lambda: totals(stack)["pageviews"] > 200, "part of the log to be counted")
    stack.kill("consumer")
    report, _ = importing.communicate(timeout=120)
    assert importing.returncode == 0, report
    assert "line 8,899: malformed" in report
    assert "10,000 lines: 3,617 page views accepted, 0 refused, 1 malformed" in report
    wait_for(lambda: balance(stack)["read"] == 3_617, "the log to be counted", 60)
    check_ground_truth(stack)
    stack.manage("archive")
    archived = archived_events(stack)
    assert len(archived) == len(set(archived)) == 3_617
    assert stack.interrupt() == 0

    stack.start()
    check_ground_truth(stack)
    stack.manage("import_log", str(REAL_LOG), "--site", "localhost")
    wait_for(lambda: balance(stack)["read"] == 2 * 3_617, "the second import to be read", 60)
    assert balance(stack)["duplicate"] == 3_617
    check_ground_truth(stack)
    assert "1 sites rebuilt, 0 days changed" in stack.manage("rebuild")
    check_ground_truth(stack)
    # Redis is a view: emptied, it comes back from archive and log to the same numbers.
    before = balance(stack)
    with connect(stack.state()["environment"]["REDIS_URL"]) as store:
        store.flushall()
    wait_for(lambda: balance(stack) == before, "the live store to be rebuilt", 60)
    check_ground_truth(stack)
    assert stack.interrupt() == 0
    assert len(archived_events(stack)) == 2 * 3_617


def check_ground_truth(stack: RunningStack) -> None:
    """`shared/data/README.md`; visitors are estimated, within their error."""
    found = totals(stack)
    assert (found["pageviews"], found["bots"]) == (3_617, 0)
    assert abs(found["visitors"] - 1_112) <= 1_112 * 0.03
    days = {17: 658, 18: 1_194, 19: 952, 20: 813}
    for day, count in days.items():
        assert views(stack, f"?from=2015-05-{day}&to=2015-05-{day}") == count
    pages = stack.get(f"/api/v1/stats/localhost/pages{MAY_2015}&limit=1000")["results"]
    assert len(pages) == 705
    assert [(page["path"], page["pageviews"]) for page in pages[:4]] == [
        ("/", 572),
        ("/blog/tags/puppet", 489),
        ("/projects/xdotool/", 219),
        ("/articles/dynamic-dns-with-dhcp/", 135),
    ]


def test_it_tells_a_new_user_all_that_is_needed(stack: RunningStack) -> None:
    stack.start()
    said = stack.said()
    assert f"{stack.url}/admin/" in said and stack.credentials["admin_password"] in said
    assert f"curl -X POST {stack.url}/api/v1/track" in said
    assert "keeps its log in memory" in said
    path = stack.directory / "credentials.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert set(stack.credentials) == {"url", "admin_user", "admin_password", "api_key", "site"}
    assert stack.get("/readyz")["ready"] is True
    answer = stack.track(FIRST_LOAD)
    assert answer["status"] == "accepted"
    wait_for(lambda: views(stack) == 1, "the page view to be counted", 5)
    # Another terminal finds the stack by itself.
    sent = json.loads(stack.manage("send_pageview", "--page-url", "/by-hand"))
    assert sent["status"] == "accepted"
    assert stack.interrupt() == 0
    assert "Stopped." in stack.said()
    for log in (stack.directory / "logs").glob("*.log"):
        assert "Traceback" not in log.read_text(), log.read_text()


def test_it_refuses_a_second_stack_and_a_busy_port_with_a_sentence(
    stack: RunningStack, tmp_path: Path
) -> None:
    stack.start()
    assert "A stack runs in" in refused(stack.environment)
    elsewhere = stack.environment | {"DATA_DIR": str(tmp_path / "other")}
    assert f"Port {stack.port} is taken" in refused(elsewhere)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = elsewhere | {"PORT": str(taken.getsockname()[1])}
        assert "is taken" in refused(busy)
    assert "must be a number" in refused(elsewhere | {"PORT": "http"})
    assert "must be embedded or apache" in refused(elsewhere | {"KAFKA": "redpanda"})
    assert stack.get("/readyz")["ready"] is True


def refused(environment: dict[str, str]) -> str:
    done = subprocess.run(
        [PYTHON, "manage.py", "up"],
        cwd=BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    return done.stderr


def test_it_clears_up_after_a_supervisor_that_was_killed(stack: RunningStack) -> None:
    stack.start()
    stack.track(FIRST_LOAD)
    assert stack.process is not None
    stack.process.kill()
    stack.process.wait()
    stack.start()
    assert "An earlier stack was killed" in stack.said()
    assert views(stack) == 1
    stack.track(FIRST_LOAD)
    wait_for(lambda: views(stack) == 2, "the new log to be counted", 10)
    assert len(archived_events(stack)) == 1


def test_it_keeps_the_log_on_disk_with_apache_kafka(tmp_path: Path, apache_servers: object) -> None:
    """SIGKILL to every process at once: what was accepted is counted all the same."""
    stack = RunningStack(tmp_path / "data", KAFKA="apache")
    try:
        stack.start(150)
        events = [FIRST_LOAD | {"user_id": f"u{n}"} for n in range(500)]
        stack.track({"events": events}, "/api/v1/track/batch")
        stack.kill_everything()
        stack.start(150)
        wait_for(lambda: views(stack) == 500, "the log to be counted", 30)
        assert balance(stack)["counted"] == balance(stack)["read"] == 500
    finally:
        stack.close()


def test_it_starts_again_what_dies(stack: RunningStack) -> None:
    stack.start()
    for name in ("web", "store", "consumer", "worker", "beat"):
        before = stack.pid(name)
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: is_new(stack, name, before), f"{name} to be started again")  # noqa: B023
    wait_for(lambda: is_ready(stack), "the stack to be ready")
    stack.track(FIRST_LOAD)
    wait_for(lambda: views(stack) == 1, "the page view to be counted", 20)


def is_new(stack: RunningStack, name: str, before: int) -> bool:
    found = [p["pid"] for p in stack.state()["processes"] if p["name"] == name]
    return bool(found) and found[0] != before


def is_ready(stack: RunningStack) -> bool:
    try:
        return bool(stack.get("/readyz")["ready"])
    except (OSError, AssertionError):
        return False
