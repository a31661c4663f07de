"""The tables of the balance page, as they are first sent; balance.js keeps them up to date.
Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """`name` is the field of the API's rows; an optional column is shown where it is not 0."""

    name: str
    title: str
    optional: bool = False


@dataclass(frozen=True)
class Cell:
    """One value: a number, a text, or None where it is not known; empty where there is none."""

    column: Column
    value: Any
    hidden: bool

    @property
    def is_number(self) -> bool:
        return isinstance(self.value, int)


@dataclass(frozen=True)
class Table:
    """`name` is where balance.js finds the rows in what the API answers."""

    name: str
    title: str
    heads: list[Cell]
    rows: list[list[Cell]]
    total: list[Cell]


_READ = Column("read", "Read")
_SITE = [
    Column("counted", "Counted"),
    Column("duplicate", "Duplicate"),
    Column("bot", "Bot"),
    Column("late", "Late"),
]
_CATEGORIES = [
    *_SITE,
    Column("invalid", "Invalid"),
    Column("forgotten", "Forgotten", optional=True),
    Column("expired", "Expired", optional=True),
    Column("holes", "No message", optional=True),
]
_ARCHIVED = Column("archived_rows", "Archived rows")


def partition_table(balance: Row) -> Table:
    columns = [
        Column("partition", "Partition"),
        Column("log_end", "Log end"),
        Column("marker", "Counted up to"),
        Column("lag", "Lag"),
        _READ,
        *_CATEGORIES,
        Column("archived_to", "Archived up to"),
        _ARCHIVED,
    ]
    total = {**balance["totals"], "partition": "All", "lag": balance["as_of"]["lag"]}
    return _table("partitions", "Partitions", columns, balance["partitions"], total)


def earlier_table(balance: Row) -> Table:
    columns = [Column("log", "Log"), _READ, *_CATEGORIES, _ARCHIVED]
    earlier = {**balance["earlier_logs"], "log": "All earlier"}
    return _table("earlier_logs", "Earlier logs", columns, [earlier])


def archive_table(balance: Row) -> Table:
    columns = [
        Column("state", "State"),
        Column("segments", "Segments"),
        Column("events", "Events"),
        Column("oldest", "Oldest planned, UTC"),
    ]
    return _table("archive", "Archive", columns, balance["archive"])


def site_table(balance: Row) -> Table:
    columns = [Column("day", "Day"), _READ, *_SITE]
    total = {**balance["totals"], "day": "All"}
    return _table("days", "Days", columns, balance["days"][::-1], total)


def _table(
    name: str,
    title: str,
    columns: Sequence[Column],
    rows: Sequence[Row],
    total: Row | None = None,
) -> Table:
    every = [*rows, *([total] if total else [])]
    hidden = {
        column.name: column.optional and not any(row.get(column.name) for row in every)
        for column in columns
    }

    def cells(row: Row) -> list[Cell]:
        return [Cell(c, row.get(c.name, ""), hidden[c.name]) for c in columns]

    heads = [Cell(column, column.title, hidden[column.name]) for column in columns]
    return Table(name, title, heads, [cells(row) for row in rows], cells(total) if total else [])
