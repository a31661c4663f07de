"""Two requests to a broker that aiokafka has not, or not well enough for us. The formats are
those of Kafka's protocol guide.
"""

import struct
from collections.abc import Sequence
from io import BytesIO

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.produce import ProduceRequest_v7, ProduceResponse_v7
from aiokafka.protocol.types import CompactString, Int16, Int32, Int64, Schema, TaggedFields

_ALL_IN_SYNC = -1
_NO_TRANSACTION = -1
_NO_PRODUCER, _NO_EPOCH = -1, -1
_partition_head = struct.Struct(">ii").pack
_topics_and_name = struct.Struct(">ih")
_partition_count = struct.Struct(">i")
# Partition, error code, base offset, time of the log's append, its start.
_partition_answer = struct.Struct(">ihqqq")


class Produced(ProduceResponse_v7):  # type: ignore[misc]  # aiokafka has no types
    """`answers`: of one topic, error code and base offset by partition. aiokafka's own objects for
    each field took a twentieth of the gateway's time."""

    def __init__(self, answers: dict[int, tuple[int, int]]) -> None:
        self.answers = answers

    @classmethod
    def decode(cls, data: BytesIO) -> "Produced":
        raw = data.read()
        _, name_bytes = _topics_and_name.unpack_from(raw)
        at = _topics_and_name.size + name_bytes
        (partitions,) = _partition_count.unpack_from(raw, at)
        at += _partition_count.size
        answers = raw[at : at + partitions * _partition_answer.size]
        return cls(
            {
                partition: (code, offset)
                for partition, code, offset, *_ in _partition_answer.iter_unpack(answers)
            }
        )


class _Produce(ProduceRequest_v7):  # type: ignore[misc]  # aiokafka has no types
    """Of one topic."""

    RESPONSE_TYPE = Produced

    def encode(self) -> bytes:
        ((topic, records),) = self.topics
        name = topic.encode()
        head = struct.pack(
            f">hhiih{len(name)}si",
            _NO_TRANSACTION, self.required_acks, self.timeout, 1, len(name), name, len(records),
        )  # fmt: skip
        parts = [head]
        for partition, batch in records:
            parts += (_partition_head(partition, len(batch)), batch)
        return b"".join(parts)


class ProduceRequest(Request[_Produce]):  # type: ignore[misc]
    """`records`: a partition and its record batch each, of which one copy is made. aiokafka's
    own copies them at each level of its description, a sixth of the time of a batch of events."""

    API_KEY = ProduceRequest_v7.API_KEY

    def __init__(self, topic: str, timeout_ms: int, records: Sequence[tuple[int, bytes]]) -> None:
        self._arguments = (None, _ALL_IN_SYNC, timeout_ms, [(topic, records)])

    def build(self, request_struct_class: type[_Produce]) -> _Produce:
        return request_struct_class(*self._arguments)


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
