"""What a running stack tells other commands, and what a killed one leaves."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from tracker_site.embedded.child import BASE_DIR
from tracker_site.embedded.state import StackState, data_dir

SUPERVISOR = """
import sys
from pathlib import Path
from tracker_site.embedded.state import StackState

state = StackState(Path(sys.argv[1]))
assert state.acquire()
state.write({"environment": {"REDIS_URL": "redis://stack"}})
print("running", flush=True)
sys.stdin.read()
"""
READ_SETTING = "from tracker_site import settings; print(settings.REDIS_URL)"


@contextmanager
def closing_lock(state: StackState) -> Iterator[StackState]:
    try:
        yield state
    finally:
        state.release()


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StackState]:
    with closing_lock(StackState(tmp_path)) as state:
        yield state


@contextmanager
def supervisor(directory: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds the lock, like `manage.py up`."""
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(directory)],
        cwd=BASE_DIR,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        yield process
        process.kill()


def setting_in(directory: Path) -> str:
    """REDIS_URL as any other command reads it."""
    environment = {k: v for k, v in os.environ.items() if k != "REDIS_URL"}
    return subprocess.run(
        [sys.executable, "-c", READ_SETTING],
        env={**environment, "DATA_DIR": str(directory)},
        cwd=BASE_DIR,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


def test_it_tells_other_commands_about_a_running_stack(tmp_path: Path) -> None:
    with supervisor(tmp_path):
        state = StackState(tmp_path)
        assert state.running()
        assert state.environment() == {"REDIS_URL": "redis://stack"}
        assert setting_in(tmp_path) == "redis://stack"


def test_it_never_believes_what_a_killed_stack_left(tmp_path: Path) -> None:
    with supervisor(tmp_path) as process:
        process.kill()
        process.wait()
    state = StackState(tmp_path)
    assert not state.running()
    assert state.environment() == {}
    assert setting_in(tmp_path) == "redis://localhost:6379/0"
    # `make down` still finds what it has to stop.
    assert state.read()["environment"] == {"REDIS_URL": "redis://stack"}


def test_it_lets_one_stack_in_at_a_time(tmp_path: Path) -> None:
    with supervisor(tmp_path) as process:
        assert not StackState(tmp_path).acquire()
        process.kill()
        process.wait()
    with closing_lock(StackState(tmp_path)) as next_one:
        assert next_one.acquire()
        assert not StackState(tmp_path).acquire()
    assert not StackState(tmp_path).running()


def test_it_disturbs_no_stack_by_asking(state: StackState) -> None:
    assert state.acquire()
    state.write({"environment": {"PORT": "1"}})
    asking = StackState(state.directory)
    assert asking.running() and asking.running()
    assert asking.environment() == state.environment() == {"PORT": "1"}
    assert not StackState(state.directory).acquire()


def test_it_makes_the_folder_it_locks(tmp_path: Path) -> None:
    with closing_lock(StackState(tmp_path / "new" / "folder")) as state:
        assert state.environment() == {}
        assert state.acquire()


def test_it_writes_for_its_owner_only(state: StackState) -> None:
    state.write({"url": "http://localhost:1"})
    state.write({"url": "http://localhost:2"})
    assert state.read() == {"url": "http://localhost:2"}
    assert state.path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in state.directory.iterdir()] == ["stack.json"]


@pytest.mark.parametrize("text", ["", "{", "\x00"])
def test_it_says_which_file_is_damaged(state: StackState, text: str) -> None:
    state.path.write_text(text)
    with pytest.raises(ImproperlyConfigured, match=r"stack\.json is not readable as JSON"):
        state.read()


@pytest.mark.parametrize("text", ["[]", '{"environment": []}', '{"environment": null}', "5"])
def test_it_takes_no_settings_from_another_shape(state: StackState, text: str) -> None:
    assert state.acquire()
    state.path.write_text(text)
    assert StackState(state.directory).environment() == {}


def test_it_reads_the_folder_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "elsewhere"))
    assert data_dir(tmp_path) == tmp_path / "elsewhere"
    monkeypatch.setenv("DATA_DIR", "")
    assert data_dir(tmp_path) == tmp_path / ".data"
