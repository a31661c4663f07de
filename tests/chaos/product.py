"""The product's own processes, started again when they die, as a cluster would."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.chaos.clock import Clock
from tests.chaos.proxy import Network, Proxy
from tracker_site.embedded.child import BASE_DIR, Child, celery, manage
from tracker_site.embedded.servers import Server, free_port

HOOK = Path(__file__).parent / "hook"
_REVIVE_AFTER_S = 0.4


class Part:
    """One process that faults may hit. `armed` is the file that names its kill point; `clock`
    is there if it can be put wrong."""

    def __init__(
        self, server: Server, role: str, armed: Path | None = None, clock: Clock | None = None
    ) -> None:
        self.server = server
        self.role = role
        self.armed = armed
        self.clock = clock
        # Whoever holds it down starts it again himself.
        self.held = False
        self.deaths = 0
        # One fault at a time may stop and start it.
        self.lock = threading.Lock()
        # One kill point at a time may be armed.
        self.arming = threading.Lock()

    @property
    def name(self) -> str:
        return self.server.name

    def is_dead(self) -> bool:
        process = self.server.process
        return process is None or process.poll() is not None

    def send(self, number: signal.Signals) -> None:
        process = self.server.process
        if process is not None and process.poll() is None:
            process.send_signal(number)

    def wait(self, seconds: float) -> None:
        """Until it has ended, but not longer."""
        if self.server.process is not None:
            with suppress(subprocess.TimeoutExpired):
                self.server.process.wait(seconds)

    def kill(self) -> None:
        self.send(signal.SIGCONT)
        self.server.kill()

    def arm(self, point: str, calls: int) -> None:
        """Let the process kill itself at the `calls`-th time it comes to `point`."""
        assert self.armed is not None
        draft = self.armed.with_suffix(".draft")
        draft.write_text(f"{point} {calls}")
        draft.replace(self.armed)

    def disarm(self) -> None:
        if self.armed is not None:
            self.armed.unlink(missing_ok=True)

    def heal(self) -> None:
        self.disarm()
        if self.clock is not None:
            self.clock.jump(0)
        self.send(signal.SIGCONT)
        self.held = False


class Product:
    """Two web processes behind proxies, consumers, workers and beat, with one environment."""

    def __init__(
        self, environment: Mapping[str, str], per_role: Mapping[str, Mapping[str, str]],
        logs: Path, network: Network, clocks: Mapping[str, Clock],
    ) -> None:  # fmt: skip
        logs.mkdir(parents=True, exist_ok=True)
        self._environment = environment
        self._per_role = per_role
        self._logs = logs
        self._clocks = clocks
        self.web_ports = {name: free_port() for name in ("web-1", "web-2")}
        self.proxies = {name: Proxy(network, name, port) for name, port in self.web_ports.items()}
        self.parts = {part.name: part for part in self._parts()}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._watched = list(self.parts.values())

    def start(self) -> None:
        for part in self.parts.values():
            part.server.spawn()
        self._thread.start()

    def of_role(self, role: str) -> list[Part]:
        return [part for part in self.parts.values() if part.role == role]

    def stop(self) -> None:
        """Nothing of it is left; its logs are."""
        self._stop.set()
        self._thread.join()
        for part in self.parts.values():
            part.heal()
        for part in self.parts.values():
            part.server.kill()
        for proxy in self.proxies.values():
            proxy.close()

    def heal(self) -> None:
        for part in self.parts.values():
            part.heal()
        for proxy in self.proxies.values():
            proxy.heal()

    def _watch(self) -> None:
        dead_since: dict[str, float] = {}
        while not self._stop.wait(0.1):
            for part in self._watched:
                if part.held or not part.is_dead():
                    dead_since.pop(part.name, None)
                elif time.monotonic() - dead_since.setdefault(part.name, time.monotonic()) > (
                    _REVIVE_AFTER_S
                ):
                    part.deaths += 1
                    part.disarm()
                    part.server.spawn()

    def _parts(self) -> list[Part]:
        worker = celery("worker", "--pool=solo", "--loglevel=INFO", "--without-mingle",
                        "--without-gossip")  # fmt: skip
        schedule = f"--schedule={self._logs / 'beat-schedule'}"
        beat = celery("beat", "--loglevel=WARNING", schedule, "--pidfile=")
        # One of each door.
        commands = [
            ("web-1", "web", manage("serve", "--port", str(self.web_ports["web-1"]))),
            ("web-2", "gateway", ["-m", "tests.chaos.gateway", str(self.web_ports["web-2"])]),
        ]
        commands += [(f"consumer-{n}", "consumer", manage("consume")) for n in (1, 2)]
        commands += [(f"worker-{n}", "worker", worker) for n in (1, 2)]
        commands.append(("beat", "beat", beat))
        return [self._part(*command) for command in commands]

    def _part(self, name: str, role: str, arguments: list[str]) -> Part:
        armed = self._logs / f"{name}.armed"
        clock = self._clocks.get(name)
        environment = {
            **self._environment,
            **self._per_role.get(role, {}),
            **(clock.environment if clock else {}),
            "CHAOS_ARMED": str(armed),
            "CHAOS_ROLE": role,
            "PYTHONPATH": os.pathsep.join((str(HOOK), str(BASE_DIR))),
            # Time that is asked for is not the point here.
            "PYTHONUNBUFFERED": "1",
        }
        return Part(Child(name, arguments, environment, self._logs), role, armed, clock)
