"""Messages of the log as Parquet: the same messages give the same bytes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from confluent_kafka import Message

from ingest.pageview import PageView, UndecodableMessage, decode

# A row group is what is held in memory at a time, whatever the size of a segment.
ROW_GROUP_EVENTS = 20_000
ROW_GROUP_BYTES = 32 * 2**20

# `ts` and `received` are milliseconds UTC, as in the message; `props` is JSON text; `raw`
# is set for what could not be decoded, and then nothing else but where it was.
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


def write_parquet(path: Path, messages: Iterable[Message]) -> int:
    """Write `messages` to a new file; returns how many there were."""
    rows = 0
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for group in _groups(messages):
            writer.write_batch(_record_batch(group))
            rows += len(group)
    return rows


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


def _record_batch(messages: Sequence[Message]) -> pa.RecordBatch:
    rows, raw = zip(*(_row(message.value()) for message in messages), strict=True)
    columns: dict[str, Any] = dict(zip(_FIELDS, zip(*rows, strict=True), strict=True))
    columns["props"] = [
        None if props is None else msgspec.json.encode(props).decode() for props in columns["props"]
    ]
    columns["partition"] = [message.partition() for message in messages]
    columns["offset"] = [message.offset() for message in messages]
    columns["raw"] = raw
    arrays = [pa.array(columns[field.name], field.type) for field in SCHEMA]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def _row(value: bytes | None) -> tuple[tuple[Any, ...], bytes | None]:
    """The fields of a page view, or nothing but the bytes of what is none."""
    try:
        return msgspec.structs.astuple(decode(value)), None
    except UndecodableMessage:
        return _NO_FIELDS, value or b""


def read_rows(rows: pa.RecordBatch) -> Iterator[tuple[int, PageView | None]]:
    """Offset and page view of each row; None for what could not be decoded."""
    for row in rows.to_pylist():
        offset, raw = row["offset"], row["raw"]
        if raw is not None:
            yield offset, None
            continue
        yield offset, page_view_of(row)


def page_view_of(row: Mapping[str, Any]) -> PageView:
    """What a row says of a page view, where it has all or some of its fields: files that were
    written before a field came have it not."""
    fields = {name: row[name] for name in _FIELDS if row.get(name) is not None}
    if "props" in fields:
        fields["props"] = msgspec.json.decode(fields["props"])
    return PageView(**fields)
