"""Two requests to a broker that aiokafka has not, or not well enough for us. The formats are
those of Kafka's protocol guide.
"""

import struct
from collections.abc import Sequence

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import CompactString, Int16, Int32, Int64, Schema, TaggedFields

# By partition, error code and base offset.
Answers = dict[int, tuple[int, int]]

_PRODUCE, _PRODUCE_VERSION = 0, 7
CLIENT = "tracker-gateway"
_CLIENT = CLIENT.encode()
_ALL_IN_SYNC = -1
_NO_TRANSACTION = -1
_NO_PRODUCER, _NO_EPOCH = -1, -1
_partition_head = struct.Struct(">ii").pack
_topics_and_name = struct.Struct(">ih")
_partition_count = struct.Struct(">i")
# Partition, error code, base offset, time of the log's append, its start.
_partition_answer = struct.Struct(">ihqqq")


def produce_request(
    number: int, topic: str, timeout_ms: int, records: Sequence[tuple[int, bytes]]
) -> bytes:
    """The whole frame. `number` comes back with the answer; `records`: a partition and its record
    batch each, of which one copy is made."""
    name = topic.encode()
    head = struct.pack(
        f">hhih{len(_CLIENT)}shhiih{len(name)}si",
        _PRODUCE, _PRODUCE_VERSION, number, len(_CLIENT), _CLIENT,
        _NO_TRANSACTION, _ALL_IN_SYNC, timeout_ms, 1, len(name), name, len(records),
    )  # fmt: skip
    parts = [b"", head]
    for partition, batch in records:
        parts += (_partition_head(partition, len(batch)), batch)
    parts[0] = struct.pack(">i", sum(map(len, parts)))
    return b"".join(parts)


def read_answers(answer: bytes) -> Answers:
    """What the broker says of the one topic, behind the request's number.

    Raises `struct.error` where it is cut off."""
    _, name_bytes = _topics_and_name.unpack_from(answer)
    at = _topics_and_name.size + name_bytes
    (partitions,) = _partition_count.unpack_from(answer, at)
    at += _partition_count.size
    answers = answer[at : at + partitions * _partition_answer.size]
    return {
        partition: (code, offset)
        for partition, code, offset, *_ in _partition_answer.iter_unpack(answers)
    }


class _Identified(Response):  # type: ignore[misc]
    API_KEY = 22
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("tags", TaggedFields),
    )


class _Identify(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 22
    API_VERSION = 3
    RESPONSE_TYPE = _Identified
    SCHEMA = Schema(
        ("transactional_id", CompactString("utf-8")),
        ("transaction_timeout_ms", Int32),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("tags", TaggedFields),
    )


class InitProducerIdRequest(Request[_Identify]):  # type: ignore[misc]
    """For an idempotent producer without transactions. aiokafka's own is version 0, which the
    embedded broker refuses."""

    API_KEY = 22

    def __init__(self, timeout_ms: int) -> None:
        no_tags: dict[int, bytes] = {}
        self._arguments = (None, timeout_ms, _NO_PRODUCER, _NO_EPOCH, no_tags)

    def build(self, request_struct_class: type[_Identify]) -> _Identify:
        return request_struct_class(*self._arguments)
