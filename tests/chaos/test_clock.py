"""A process whose clock is put wrong while it runs."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.chaos.clock import Clock, build
from tests.conftest import _missing

# For each line that is read: how far its clocks are from the line's time, and how long waits
# of a fifth of a second took that Python, a thread and librdkafka made.
_PROGRAM = """
import sys, time, threading, datetime
from confluent_kafka import Producer

producer = Producer({"log_level": 0})

def took(wait):
    began = time.monotonic()
    wait()
    return time.monotonic() - began

print("ready", flush=True)
for line in sys.stdin:
    now = float(line)
    print(time.time() - now, datetime.datetime.now().timestamp() - now,
          took(lambda: time.sleep(0.2)), took(lambda: threading.Event().wait(0.2)),
          took(lambda: producer.poll(0.2)), flush=True)
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = build(tmp_path_factory.mktemp("clock"))
    if found is None:
        _missing("no C compiler is installed")
    assert found is not None
    return found


def test_it_jumps_while_the_process_runs_and_no_wait_changes(library: Path, tmp_path: Path) -> None:
    clock = Clock(library, tmp_path / "ahead")
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM], env=clock.environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin and process.stdout
        assert process.stdout.readline() == "ready\n"
        for ahead in (0, 239.75, -180.5, 5, 0):
            clock.jump(ahead)
            process.stdin.write(f"{time.time()}\n")
            process.stdin.flush()
            *clocks, slept, waited, polled = map(float, process.stdout.readline().split())
            assert clocks == pytest.approx([ahead, ahead], abs=1.5)
            assert all(0.15 < took < 2 for took in (slept, waited, polled)), (slept, waited, polled)
        process.stdin.close()
