"""A PostgreSQL that can die and stop as a whole, with every process that it has made."""

import shutil
import signal
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg

from tests.postgresql import OPTIONS, SUPERUSER, binaries, initialise, owner
from tracker_site.embedded.servers import Server, free_port


class PostgreSQL(Server):
    """Listens on a loopback port. Its folder is its own user's and goes with `remove`."""

    name = "postgresql"

    def __init__(self) -> None:
        programs = binaries()
        if programs is None:
            raise SystemExit("PostgreSQL is not installed (Debian: apt install postgresql).")
        self._programs = programs
        super().__init__(Path(tempfile.mkdtemp(prefix="tracker-chaos-")), free_port())
        if user := owner():
            shutil.chown(self.directory, user, user)

    def url(self, port: int) -> str:
        """`port`: its own, or the proxy's before it."""
        return f"postgres://{SUPERUSER}@127.0.0.1:{port}/postgres"

    def prepare(self) -> None:
        if not (self.directory / "data").exists():
            initialise(self._programs, self.directory / "data")

    def command(self) -> list[str]:
        user = owner()
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
        options = (*OPTIONS, "listen_addresses=127.0.0.1", f"port={self.port}")
        return [
            *become, str(self._programs / "postgres"), "-D", str(self.directory / "data"),
            "-k", str(self.directory), *(word for option in options for word in ("-c", option)),
        ]  # fmt: skip

    def probe(self) -> bool:
        try:
            psycopg.connect(self.url(self.port), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def send(self, number: signal.Signals) -> list[psutil.Process]:
        """To all its processes, while the first of them can make no others."""
        if self.process is None or self.process.poll() is not None:
            return []
        parent = psutil.Process(self.process.pid)
        parent.send_signal(signal.SIGSTOP)
        family = [*parent.children(recursive=True), parent]
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        return family

    def kill(self) -> None:
        # A new one refuses to start beside what an old one left running.
        if self.process is not None:
            psutil.wait_procs(self.send(signal.SIGKILL), timeout=10)
            self.process.wait()

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)
