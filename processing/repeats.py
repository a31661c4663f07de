"""Which events repeat one that was counted, told from the events alone (SPEC.md §5, §12)."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

from ingest.pageview import PageView
from processing.duplicates import DuplicateWindows
from processing.history import Event


@dataclass
class _Pending:
    """What Redis took for a duplicate although nothing before it has its id."""

    event: Event
    page_view: PageView


class Repeats:
    """The duplicate rule (SPEC.md §5) over all ids there are, kept in a temporary file so
    that memory does not grow with them.

    Between partitions there is no order: of two events with one id in different partitions
    either may have been counted. Where Redis noted the earlier one as the duplicate, that is
    believed if the other one does come, in another partition.
    """

    def __init__(self, windows: DuplicateWindows) -> None:
        self._windows = windows
        self._pending: dict[bytes, list[_Pending]] = {}
        self._file = sqlite3.connect("", isolation_level=None)
        self._file.execute("PRAGMA cache_size = -65536")
        self._file.execute("PRAGMA journal_mode = OFF")
        self._file.execute(
            "CREATE TABLE counted (id BLOB, class TEXT, step INTEGER, "
            "PRIMARY KEY (id, class, step)) WITHOUT ROWID"
        )

    def is_repeat(self, event: Event, page_view: PageView, noted: bool) -> bool:
        """`noted`: Redis says it is one. An event that is none is remembered."""
        id_ = blake2b(f"{page_view.site}\0{page_view.id}".encode(), digest_size=16).digest()
        counted = self._file.execute("SELECT class, step FROM counted WHERE id = ?", [id_])
        if any(self._repeats(page_view, *other) for other in counted.fetchall()):
            return True
        if noted:
            self._pending.setdefault(id_, []).append(_Pending(event, page_view))
            return True
        steps = self._steps(page_view)
        self._file.executemany(
            "INSERT INTO counted VALUES (?, ?, ?)", [(id_, *step) for step in steps]
        )
        if id_ in self._pending:
            self._explain(id_, event, steps)
        return False

    def unexplained(self) -> Iterator[tuple[Event, PageView]]:
        for pending in self._pending.values():
            yield from ((one.event, one.page_view) for one in pending)

    def _explain(self, id_: bytes, counted: Event, steps: list[tuple[str, int]]) -> None:
        self._pending[id_] = [
            one
            for one in self._pending[id_]
            if one.event[:2] == counted[:2]
            or not any(self._repeats(one.page_view, *step) for step in steps)
        ]

    def _steps(self, page_view: PageView) -> list[tuple[str, int]]:
        """The class and step of every window that the event falls into."""
        return [
            (kind, page_view.received // self._windows.length(kind))
            for kind in self._windows.kinds(page_view)
        ]

    def _repeats(self, page_view: PageView, class_: str, step: int) -> bool:
        """Whether it repeats one with its id that was counted in that step of that class."""
        return any(class_ == own and abs(at - step) <= 1 for own, at in self._steps(page_view))
