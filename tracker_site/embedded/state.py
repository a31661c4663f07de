"""What a running `manage.py up` tells other commands: where its parts listen.

The file `<data dir>/stack.json` holds the environment of the stack's processes.
It counts only while the supervisor that wrote it holds the lock beside it, so a
file left by a killed stack is never believed.
"""

import fcntl
import json
import os
from pathlib import Path
from typing import IO

from django.core.exceptions import ImproperlyConfigured


def data_dir(base: Path) -> Path:
    """The folder that all state lives in: `DATA_DIR`, by default `.data` in the checkout."""
    return Path(os.environ.get("DATA_DIR") or base / ".data").expanduser().resolve()


class StackState:
    """The lock and the state file of one data directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "stack.json"
        self.lock_path = directory / "stack.lock"
        self._lock: IO[str] | None = None

    def acquire(self) -> bool:
        """Become the one stack of this directory; False when another one runs."""
        self.directory.mkdir(parents=True, exist_ok=True)
        lock = self.lock_path.open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return False
        self._lock = lock
        return True

    def release(self) -> None:
        """Let another stack have this directory; the end of the process does the same."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def running(self) -> bool:
        """Whether a live supervisor holds the lock."""
        if not self.lock_path.exists():
            return False
        with self.lock_path.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def write(self, state: dict[str, object]) -> None:
        temporary = self.path.with_suffix(".tmp")
        # For its owner alone from the first byte on: passwords are in it.
        temporary.touch(mode=0o600)
        temporary.chmod(0o600)
        temporary.write_text(json.dumps(state, indent=2) + "\n")
        temporary.replace(self.path)

    def read(self) -> dict[str, object]:
        """The last state written, by whomever; {} where there is none."""
        try:
            state = json.loads(self.path.read_text())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise ImproperlyConfigured(
                f"{self.path} is not readable as JSON ({error}). Delete it and start again."
            ) from None
        return state if isinstance(state, dict) else {}

    def environment(self) -> dict[str, str]:
        """The settings of the stack that runs now; {} when none runs."""
        if not self.path.exists() or not self.running():
            return {}
        environment = self.read().get("environment", {})
        return dict(environment) if isinstance(environment, dict) else {}
