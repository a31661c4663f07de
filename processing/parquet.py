"""Messages of the log as Parquet: the same messages give the same bytes."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from confluent_kafka import Message

from ingest.pageview import PageView, UndecodableMessage, decode

# A row group is what is held in memory at a time, whatever the size of a segment.
ROW_GROUP_EVENTS = 20_000
ROW_GROUP_BYTES = 32 * 2**20

# `ts` and `received` are milliseconds UTC, as in the message; `props` is JSON text; `raw`
# is set for what could not be decoded, and then nothing else but where it was. Of what is
# forgotten there is nothing but where it was and when it arrived.
SCHEMA = pa.schema(
    [
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        ("id", pa.string()),
        ("site", pa.string()),
        ("visitor", pa.string()),
        ("path", pa.string()),
        ("ts", pa.int64()),
        ("received", pa.int64()),
        ("v", pa.int32()),
        ("name", pa.string()),
        ("retryable", pa.bool_()),
        ("hostname", pa.string()),
        ("title", pa.string()),
        ("referrer", pa.string()),
        ("channel", pa.string()),
        ("utm_source", pa.string()),
        ("utm_medium", pa.string()),
        ("utm_campaign", pa.string()),
        ("utm_term", pa.string()),
        ("utm_content", pa.string()),
        ("country", pa.string()),
        ("region", pa.string()),
        ("browser", pa.string()),
        ("os", pa.string()),
        ("device", pa.string()),
        ("screen", pa.string()),
        ("language", pa.string()),
        ("bot", pa.string()),
        ("props", pa.string()),
        ("raw", pa.binary()),
        # Not in objects that were written before there was enrichment.
        ("source", pa.string()),
        ("browser_version", pa.string()),
        ("os_version", pa.string()),
        ("screen_class", pa.string()),
        ("time_zone", pa.string()),
    ]
)
_FIELDS = PageView.__struct_fields__
_NO_FIELDS = (None,) * len(_FIELDS)
_KEPT_OF_FORGOTTEN = ("partition", "offset", "received")


def write_parquet(path: Path, messages: Iterable[Message], forgotten: Container[PageView]) -> int:
    """Write `messages` to a new file; returns how many there were."""
    rows = 0
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for group in _groups(messages):
            writer.write_batch(_record_batch(group, forgotten))
            rows += len(group)
    return rows


# Whether an event of this site and visitor that arrived then is forgotten.
Hides = Callable[[str | None, str | None, int | None], bool]


def write_without(path: Path, source: Any, hides: Hides) -> int:
    """Write an archived file once more without what `hides` says; returns how many rows lost
    their content. Where there is none, nothing is written."""
    old = pq.ParquetFile(source)
    groups = [_hidden(old, number, hides) for number in range(old.num_row_groups)]
    if not any(map(any, groups)):
        return 0
    with pq.ParquetWriter(path, old.schema_arrow, compression="zstd") as writer:
        for number, hidden in enumerate(groups):
            writer.write_table(_emptied(old.read_row_group(number), hidden))
    return sum(map(sum, groups))


def _hidden(file: pq.ParquetFile, group: int, hides: Hides) -> list[bool]:
    columns = ["site", "visitor", "received"]
    rows = file.read_row_group(group, columns)
    return list(map(hides, *(rows[column].to_pylist() for column in columns)))


def _emptied(rows: pa.Table, hidden: Sequence[bool]) -> pa.Table:
    if not any(hidden):
        return rows
    mask = pa.array(hidden)
    columns = [
        column
        if name in _KEPT_OF_FORGOTTEN
        else pc.if_else(mask, pa.scalar(None, column.type), column)
        for name, column in zip(rows.column_names, rows.columns, strict=True)
    ]
    return pa.table(columns, schema=rows.schema)


def _groups(messages: Iterable[Message]) -> Iterator[list[Message]]:
    """Cut by the messages alone, never by how they arrived."""
    group: list[Message] = []
    size = 0
    for message in messages:
        group.append(message)
        size += len(message.value() or b"")
        if len(group) >= ROW_GROUP_EVENTS or size >= ROW_GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _record_batch(messages: Sequence[Message], forgotten: Container[PageView]) -> pa.RecordBatch:
    rows, raw = zip(*(_row(message.value(), forgotten) for message in messages), strict=True)
    columns: dict[str, Any] = dict(zip(_FIELDS, zip(*rows, strict=True), strict=True))
    columns["props"] = [
        None if props is None else msgspec.json.encode(props).decode() for props in columns["props"]
    ]
    columns["partition"] = [message.partition() for message in messages]
    columns["offset"] = [message.offset() for message in messages]
    columns["raw"] = raw
    arrays = [pa.array(columns[field.name], field.type) for field in SCHEMA]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def _row(
    value: bytes | None, forgotten: Container[PageView]
) -> tuple[tuple[Any, ...], bytes | None]:
    """The fields of a page view, or nothing but the bytes of what is none."""
    try:
        page_view = decode(value)
    except UndecodableMessage:
        return _NO_FIELDS, value or b""
    if page_view in forgotten:
        return tuple(page_view.received if name == "received" else None for name in _FIELDS), None
    return msgspec.structs.astuple(page_view), None


def is_forgotten(row: Mapping[str, Any]) -> bool:
    """Of a row that has at least `id` and `raw`."""
    return row["id"] is None and row["raw"] is None


def page_view_of(row: Mapping[str, Any]) -> PageView:
    """What a row that is one says of a page view, where it has all or some of its fields: files
    that were written before a field came have it not."""
    fields = {name: row[name] for name in _FIELDS if row.get(name) is not None}
    if "props" in fields:
        fields["props"] = msgspec.json.decode(fields["props"])
    return PageView(**fields)
