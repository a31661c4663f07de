"""The producer of one event loop: no thread, and one answer of Kafka for all events of a batch.

`aiokafka` knows the brokers and the leaders, and writes record batches, which travel over `Link`s.
What travels together, what is sent again and when to give up is decided here.
"""

import asyncio
import logging
from collections import deque
from contextlib import suppress
from functools import partial
from typing import Any
from zlib import crc32

from aiokafka import AIOKafkaClient, TopicPartition
from aiokafka.errors import KafkaError, NoError, for_code

from ingest.delivery import Delivery, KafkaUnavailable, ProducerSettings
from ingest.gateway.access import Access
from ingest.gateway.lanes import Batch, Identity, Lane
from ingest.gateway.link import Link, Load
from ingest.gateway.requests import Answers, InitProducerIdRequest

logger = logging.getLogger(__name__)
# It says at every try that a broker is away; what is below says it once.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)

_CHECK_S, _RETRY_S, _FOLLOW_S = 0.05, 0.05, 2.0
_SLOW = "no answer"
# Of a request's messages, where there is one.
_FIRST = (0,)


class LoopProducer:
    """Puts messages into Kafka and tells when they are safe (acks=all, idempotent).

    Everything happens on the loop that `start` was called on. A key's partition is the one that
    librdkafka chooses, so that both doors agree.
    """

    def __init__(self, settings: ProducerSettings) -> None:
        self._settings = settings
        self._linger_s = settings.linger_ms / 1_000
        self._timeout_ms = settings.timeout_ms
        self._timeout_s = settings.timeout_ms / 1_000
        self._access = Access()
        self._client: AIOKafkaClient | None = None
        self._identity: Identity | None = None
        self._lanes: list[Lane] = []
        # By the broker's number; those that are being made, and those that can be sent over.
        self._linking: set[int] = set()
        self._links: dict[int, Link] = {}
        # What came before the partitions were known, with its deadline.
        self._unplaced: deque[tuple[Delivery, float]] = deque()
        self._events = 0
        self._is_due = False
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_identifying = False
        # Why the topic can't be written to, by what Kafka says of it; None: it can.
        self.trouble: str | None = "Kafka was not asked yet"
        # Why the last batch could not be stored.
        self._refusal: str | None = None

    @property
    def waiting(self) -> int:
        """Events of which it is not known yet whether they are safe."""
        return self._events

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._begin(self._follow())
        self._begin(self._expire())

    def produce(self, delivery: Delivery) -> None:
        """See `delivery.Producer`. `done` is called on the loop."""
        events = len(delivery.messages)
        if self._closed or self._events + events > self._settings.queue_events:
            raise KafkaUnavailable("too many events wait for Kafka already")
        self._events += events
        deadline = self._loop.time() + self._timeout_s
        if self._lanes:
            self._place(delivery, deadline)
        else:
            self._unplaced.append((delivery, deadline))

    async def close(self) -> None:
        """Wait for what is on its way, then stop."""
        self._closed = True
        while self._events:
            await asyncio.sleep(_CHECK_S)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for link in self._links.values():
            link.abort("this process stops")
        if self._client is not None:
            await self._client.close()

    # --- Sending ----------------------------------------------------------------------

    def _place(self, delivery: Delivery, deadline: float) -> None:
        lanes, messages = self._lanes, delivery.messages
        if len(messages) == 1:
            lanes[crc32(messages[0][0]) % len(lanes)].add(delivery, _FIRST, deadline)
        else:
            numbers: list[list[int]] = [[] for _ in lanes]
            for number, (key, _) in enumerate(messages):
                numbers[crc32(key) % len(lanes)].append(number)
            for lane, of_lane in zip(lanes, numbers, strict=True):
                lane.add(delivery, of_lane, deadline)
        if not self._is_due:
            self._is_due = True
            self._loop.call_later(self._linger_s, self._send_waiting)

    def _send_soon(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._send_waiting)

    def _send_waiting(self) -> None:
        """One request to each broker that has answered its last one, with what waits for the
        partitions that it leads."""
        self._is_due = False
        client, identity = self._client, self._identity
        if client is None or identity is None or self._is_busy:
            return
        loads: dict[Link, Load] = {}
        for lane in self._lanes:
            if lane.can_send:
                leader = self._leader(client, lane)
                if leader is None:
                    self._ask_for_leaders()
                    self._loop.call_later(_RETRY_S, self._send_soon)
                elif (link := self._free_link(client, leader)) is not None:
                    batch = lane.next(identity, leader)
                    loads.setdefault(link, []).append((lane, batch))
        for link, load in loads.items():
            link.send(self._settings.topic, self._timeout_ms, load)

    @property
    def _is_busy(self) -> bool:
        """Every link has a request under way, whose answer brings what waits to be sent."""
        links = self._links.values()
        return bool(links) and not any(link.is_free for link in links)

    def _leader(self, client: AIOKafkaClient, lane: Lane) -> int | None:
        place = TopicPartition(self._settings.topic, lane.partition)
        leader: int | None = client.cluster.leader_for_partition(place)
        return None if leader == -1 else leader

    def _free_link(self, client: AIOKafkaClient, broker: int) -> Link | None:
        """Over which a request can be sent to the broker. Where there is no link at all, one is
        begun; it sends what waits once it is made."""
        link = self._links.get(broker)
        if link is None and broker not in self._linking:
            self._linking.add(broker)
            self._begin(self._link(client, broker))
        return link if link is not None and link.is_free else None

    async def _link(self, client: AIOKafkaClient, broker: int) -> None:
        try:
            self._links[broker] = await self._linked(client, broker)
        except OSError as trouble:
            self._note_refusal(f"broker {broker} can't be reached: {trouble}")
            self._ask_for_leaders()
            await asyncio.sleep(_RETRY_S)
        finally:
            self._linking.discard(broker)
            self._send_soon()

    async def _linked(self, client: AIOKafkaClient, broker: int) -> Link:
        """Raises `OSError`, `TimeoutError` among them."""
        place = client.cluster.broker_metadata(broker)
        if place is None:
            raise OSError("its address is not known")
        async with asyncio.timeout(self._timeout_s):
            link = await self._access.connect(
                place.host,
                place.port,
                lambda: Link(self._read_answers, partial(self._lost, broker)),
            )
        # Before it could be noted, so nobody would hear of it again.
        if link.is_lost:
            raise ConnectionResetError("the broker closed the connection")
        return link

    def _lost(self, broker: int, link: Link, load: Load, reason: str) -> None:
        if self._links.get(broker) is link:
            del self._links[broker]
        for lane, batch in load:
            self._send_again(lane, batch, reason)
        if load:
            self._ask_for_leaders()
        self._send_soon()

    def _read_answers(self, load: Load, answers: Answers) -> None:
        for lane, batch in load:
            self._answered(lane, batch, *answers[lane.partition])
        self._send_soon()

    def _answered(self, lane: Lane, batch: Batch, code: int, offset: int) -> None:
        if lane.under_way is not batch:
            return  # it had two answers, or its time was over
        error = for_code(code)
        if error is NoError:
            self._refusal = None
            self._settle(lane.arrived(offset))
        elif error.retriable:
            if error.invalid_metadata:
                self._ask_for_leaders()
            self._send_again(lane, batch, error.__name__)
        else:
            logger.warning("Kafka refused events of partition %d: %s", lane.partition, error)
            self._give_up(lane, error.__name__)

    def _send_again(self, lane: Lane, batch: Batch, reason: str) -> None:
        """After a pause; until its time is over."""
        if lane.under_way is batch:
            self._note_refusal(reason)
            self._loop.call_later(_RETRY_S, self._refuse, lane, batch)

    def _note_refusal(self, reason: str) -> None:
        if self._refusal is None:
            logger.warning("Kafka is in trouble, requests may get 503: %s", reason)
        self._refusal = reason

    def _refuse(self, lane: Lane, batch: Batch) -> None:
        if lane.under_way is batch:
            lane.is_refused = True
            self._send_soon()

    # --- Giving up --------------------------------------------------------------------

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_S)
            if self._events:
                self._expire_at(self._loop.time())

    def _expire_at(self, now: float) -> None:
        reason = self.trouble or self._refusal or _SLOW
        while self._unplaced and self._unplaced[0][1] <= now:
            delivery, _ = self._unplaced.popleft()
            self._settle(len(delivery.messages))
            delivery.failed(len(delivery.messages), reason)
        for lane in self._lanes:
            if lane.under_way is not None and lane.under_way.deadline <= now:
                self._give_up(lane, reason)
                self._leave(lane.leader)
            self._settle(lane.expire(now, reason))
            lane.close_batch()

    def _give_up(self, lane: Lane, reason: str) -> None:
        self._settle(lane.give_up(reason))
        self._identity = None
        self._identify_soon()

    def _leave(self, broker: int | None) -> None:
        """A broker that does not answer would get more and more to read."""
        link = self._links.get(broker) if broker is not None else None
        if link is not None and not link.is_free:
            link.abort(_SLOW)

    def _settle(self, events: int) -> None:
        """So many wait no more. Whoever was told may have produced others at once, so `_events` is
        read here, after that: `-=` beside the telling would forget them."""
        self._events -= events

    # --- Kafka, as it is now ----------------------------------------------------------

    def _ask_for_leaders(self) -> None:
        if self._client is not None:
            self._client.force_metadata_update()

    async def _follow(self) -> None:
        """Know the partitions and their leaders, and whether the topic can be written to."""
        while True:
            try:
                client = await self._connected()
                self._read_partitions(client)
                if self._identity is None:
                    self._identify_soon()
            except (KafkaError, OSError) as trouble:
                self._note_trouble(f"Kafka does not answer: {trouble}")
            except Exception:
                logger.exception("Kafka could not be asked for its partitions.")
            await asyncio.sleep(_FOLLOW_S if self.trouble is None else _FOLLOW_S / 10)

    async def _connected(self) -> AIOKafkaClient:
        """A client that has just heard from a broker."""
        if self._client is not None and await self._client.force_metadata_update():
            return self._client
        servers = self._settings.bootstrap_servers
        client = AIOKafkaClient(
            bootstrap_servers=servers,
            request_timeout_ms=self._timeout_ms,
            retry_backoff_ms=int(_RETRY_S * 1_000),
            **self._access.for_aiokafka(),
        )
        try:
            await client.bootstrap()
        except BaseException as error:
            await client.close()
            if isinstance(error, KafkaError):
                raise OSError(await self._access.why_not(servers)) from None
            raise
        before, self._client = self._client, client
        if before is not None:
            await before.close()
        return client

    def _read_partitions(self, client: AIOKafkaClient) -> None:
        # All topics are asked for: asked for by its name, a broker may make one, with partitions
        # of its choice.
        name = self._settings.topic
        partitions = client.cluster.partitions_for_topic(name)
        if not partitions:
            self._note_trouble(f"topic {name!r} is missing; run `manage.py create_topics`")
            return
        self.trouble = None
        self._lanes += [Lane(number) for number in range(len(self._lanes), len(partitions))]
        while self._unplaced:
            self._place(*self._unplaced.popleft())
        for lane in self._lanes:
            if lane.under_way is not None and lane.leader != self._leader(client, lane):
                self._refuse(lane, lane.under_way)
        self._send_soon()

    def _identify_soon(self) -> None:
        if not self._is_identifying:
            self._is_identifying = True
            self._begin(self._identify())

    async def _identify(self) -> None:
        """Get a name for the sequence numbers to begin anew under."""
        while self._identity is None:
            with suppress(KafkaError, OSError):
                client = self._client
                node = client and client.get_random_node()
                if client is not None and node is not None:
                    answer = await client.send(node, InitProducerIdRequest(self._timeout_ms))
                    if for_code(answer.error_code) is NoError:
                        self._identity = Identity(answer.producer_id, answer.producer_epoch)
                        break
            await asyncio.sleep(_RETRY_S)
        self._is_identifying = False
        self._send_soon()

    def _note_trouble(self, reason: str) -> None:
        if self.trouble is None:
            logger.warning("Kafka is in trouble, requests may get 503: %s", reason)
        self.trouble = reason

    def _begin(self, work: Any) -> None:
        """A task that nobody keeps may be collected before it is done."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("A step of the producer failed.", exc_info=error)
