"""The processes of a subject while it runs, each on its core."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench import cores
from bench.count import DIRECTORY
from bench.count.subjects import Subject
from bench.processes import ROOT, environment
from bench.usage import usage_of
from tracker_site.embedded.servers import Server


class SubjectProcess(Server):
    """One process of a subject."""

    def __init__(
        self, subject: Subject, number: int, core: int, settings: Mapping[str, str], events: int
    ) -> None:
        letters = "".join(letter if letter.isalnum() else "-" for letter in subject.name)
        self.name = f"{letters}-{number}"
        self._subject = subject
        self._core = core
        self._settings = settings
        self._events = events
        super().__init__(DIRECTORY / "logs")

    @property
    def working_directory(self) -> Path:
        return ROOT

    def command(self) -> list[str]:
        words = [word.format(events=self._events) for word in self._subject.command]
        return cores.on_core(self._core, words)

    def environment(self) -> dict[str, str]:
        return environment({**self._settings, **self._subject.settings})

    def probe(self) -> bool:
        """Whether it ended, as it does by itself only after the last event."""
        return self.process is not None and self.process.poll() is not None

    @property
    def pid(self) -> int:
        assert self.process is not None  # noqa: S101  asked for while it runs
        return self.process.pid


@contextmanager
def running(
    subject: Subject, settings: Mapping[str, str], events: int
) -> Iterator[list[SubjectProcess]]:
    """The subject's processes; none of them is left behind."""
    processes = [
        SubjectProcess(subject, number, core, settings, events)
        for number, core in enumerate(cores.measured_cores(subject.consumers), start=1)
    ]
    try:
        for process in processes:
            process.spawn()
        yield processes
    finally:
        for process in processes:
            process.stop()


def cpu_of(processes: list[SubjectProcess]) -> float:
    """Seconds."""
    return sum(usage_of(process.pid).cpu for process in processes)
