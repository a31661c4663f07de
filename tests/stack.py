"""`manage.py up` as a user runs it, in a data directory and on a port of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil

from tracker_site.embedded.child import BASE_DIR
from tracker_site.embedded.servers import free_port

PYTHON = sys.executable
# Settings that point elsewhere, as CI or another test may have them.
_OTHERS = ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "DATABASE_URL", "ARCHIVE_URL")


class RunningStack:
    """Starts, asks, stops and kills one stack."""

    def __init__(self, directory: Path, **settings: str) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"http://localhost:{self.port}"
        self.environment = {k: v for k, v in os.environ.items() if k not in _OTHERS}
        self.environment |= {"DATA_DIR": str(directory), "PORT": str(self.port), **settings}
        self.output = directory.parent / f"{directory.name}.out"
        self.process: subprocess.Popen[bytes] | None = None

    def spawn(self) -> "subprocess.Popen[bytes]":
        with self.output.open("ab") as out:
            self.process = subprocess.Popen(
                [PYTHON, "manage.py", "up"],
                cwd=BASE_DIR,
                env=self.environment,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        return self.process

    def start(self, seconds: float = 90.0) -> "RunningStack":
        """Returns when the stack has said that it is ready."""
        said = self.said().count("Ready.")
        process = self.spawn()
        deadline = time.monotonic() + seconds
        while self.said().count("Ready.") == said:
            assert process.poll() is None, self.said()
            assert time.monotonic() < deadline, f"not ready: {self.said()}"
            time.sleep(0.05)
        return self

    def interrupt(self) -> int:
        """Ctrl-C; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(90)

    def kill_everything(self) -> None:
        """SIGKILL to the supervisor and whatever it started; to it first, lest it start again what
        dies."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        for entry in self.state()["processes"]:
            self._kill(int(entry["pid"]))

    def close(self) -> None:
        """Leave nothing running, whatever the test did."""
        if self.process is not None and self.process.poll() is None:
            self.interrupt()
        subprocess.run([PYTHON, "manage.py", "down"], cwd=BASE_DIR, env=self.environment)

    def said(self) -> str:
        return self.output.read_text() if self.output.exists() else ""

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.directory / "stack.json").read_text())
        return state

    def pid(self, name: str) -> int:
        (pid,) = [p["pid"] for p in self.state()["processes"] if p["name"] == name]
        return int(pid)

    def kill(self, name: str) -> None:
        self._kill(self.pid(name))

    @property
    def credentials(self) -> dict[str, str]:
        found: dict[str, str] = json.loads((self.directory / "credentials.json").read_text())
        return found

    def manage(self, *arguments: str) -> str:
        """A command in another terminal, which has only DATA_DIR."""
        done = subprocess.run(
            [PYTHON, "manage.py", *arguments],
            cwd=BASE_DIR,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def get(self, path: str) -> Any:
        """An answer of the JSON API, with the key that the stack made."""
        return self._ask("GET", path, None, Authorization=f"Bearer {self.credentials['api_key']}")

    def track(self, event: dict[str, Any], path: str = "/api/v1/track", **headers: str) -> Any:
        headers |= {"Content-Type": "application/json"}
        return self._ask("POST", path, json.dumps(event), **headers)

    def _ask(self, method: str, path: str, body: str | None, **headers: str) -> Any:
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=15)) as connection:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = response.read()
        assert response.status in (200, 202), f"{response.status}: {answer.decode()[:500]}"
        return json.loads(answer)

    @staticmethod
    def _kill(pid: int) -> None:
        process = psutil.Process(pid)
        process.kill()
        process.wait(10)
