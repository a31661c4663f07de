"""What viewers of the live page are shown: read once for all of them, encoded once.

Each watched site has a `Board`. One task a process reads Redis for every board; each
viewer takes the newest state when it is ready for one, so that a slow viewer skips states
instead of queueing them (SPEC.md §8).
"""

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
import redis
from channels.db import database_sync_to_async
from django.db import DatabaseError

from dashboard.api import stats
from dashboard.assets import page_version
from dashboard.live_state import LiveStates, State, unavailable
from ingest.models import Site
from processing.stats import Stats, now_ms

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.2
# Without new events the state changes too: people leave, minutes pass, data gets older.
READ_AT_LEAST_EVERY_S = 1.0


class SiteGone(LookupError):
    """Raised when the site that is watched was removed."""


@dataclass(frozen=True)
class Snapshot:
    """A state and its number, which grows with every state of the board."""

    number: int
    state: State


class Board:
    """The newest state of one site, and the frames that bring viewers to it."""

    def __init__(self, site: str) -> None:
        self.site = site
        self.viewers = 0
        self.revision = -1
        self.read_at = float("-inf")
        self._newest: Snapshot | None = None
        self._gone = False
        self._frames: dict[int, str] = {}
        self._changed = asyncio.Condition()

    @property
    def state(self) -> State | None:
        return self._newest.state if self._newest else None

    async def publish(self, state: State) -> None:
        number = self._newest.number + 1 if self._newest else 1
        self._newest = Snapshot(number, state)
        self._frames = {}
        await self._wake()

    async def remove(self) -> None:
        self._gone = True
        await self._wake()

    async def newer_than(self, seen: Snapshot | None) -> Snapshot:
        """The newest state, as soon as it is not `seen`. Raises `SiteGone`."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._gone or self._newest is not seen)
        if self._gone or self._newest is None:
            raise SiteGone(self.site)
        return self._newest

    def frame(self, seen: Snapshot | None) -> str:
        """The message that brings a viewer from `seen` to the newest state, as JSON."""
        assert self._newest is not None  # noqa: S101  `newer_than` came before
        key = seen.number if seen else 0
        if key not in self._frames:
            self._frames[key] = _encode(seen, self._newest)
        return self._frames[key]

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _encode(seen: Snapshot | None, newest: Snapshot) -> str:
    message: dict[str, Any] = {"type": "snapshot", "seq": newest.number}
    if seen is None:
        message |= {"page": page_version(), "state": newest.state}
    else:
        changes = {k: v for k, v in newest.state.items() if seen.state.get(k) != v}
        message |= {"type": "update", "changes": changes}
    return msgspec.json.encode(message).decode()


class LiveFeed:
    """Reads the states of every watched site, in one task that runs while anyone watches."""

    def __init__(self, reader: Stats) -> None:
        self._stats = reader
        self._states = LiveStates(reader)
        self._sites: dict[str, Site] = {}
        self._sites_read_at = float("-inf")
        self._boards: dict[str, Board] = {}
        self._reading: asyncio.Task[None] | None = None
        # Whether the log already says so.
        self._store_away = False

    @contextmanager
    def board(self, site: str) -> Iterator[Board]:
        """The site's board, kept up to date until the context ends."""
        board = self._boards.setdefault(site, Board(site))
        board.viewers += 1
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_on())
        try:
            yield board
        finally:
            board.viewers -= 1
            if not board.viewers and self._boards.get(site) is board:
                del self._boards[site]

    async def _read_on(self) -> None:
        while self._boards:
            try:
                await self._read()
            except Exception:
                # Every viewer of this process depends on this task.
                logger.exception("The live states could not be read; trying again.")
            await asyncio.sleep(LOOK_EVERY_S)

    async def _read(self) -> None:
        boards = list(self._boards.values())
        found = await database_sync_to_async(self._find, thread_sensitive=False)(boards)
        for board in boards:
            state = found.get(board.site, board.state)
            if state is None:
                del self._boards[board.site]
                await board.remove()
            elif state is not board.state:
                await board.publish(state)

    def _find(self, boards: Sequence[Board]) -> dict[str, State | None]:
        """By site the state where there is a new one; None where the site is gone."""
        try:
            sites = self._watched_sites({board.site for board in boards})
        except DatabaseError:
            logger.warning("The sites can't be read.", exc_info=True)
            return {}
        found: dict[str, State | None] = {
            board.site: None for board in boards if board.site not in sites
        }
        known = [(board, sites[board.site]) for board in boards if board.site in sites]
        try:
            found |= self._read_states(known)
            self._store_away = False
            return found
        except redis.RedisError as error:
            if not self._store_away:
                logger.warning("The live store does not answer: %s", error)
            self._store_away = True
            return found | {board.site: unavailable(site, board.state) for board, site in known}

    def _watched_sites(self, names: set[str]) -> dict[str, Site]:
        """The sites of these names that there are, at most a second old."""
        now = time.monotonic()
        if now - self._sites_read_at >= READ_AT_LEAST_EVERY_S or not names <= self._sites.keys():
            self._sites = Site.objects.in_bulk(list(names), field_name="public_id")
            self._sites_read_at = now
        return self._sites

    def _read_states(self, known: Sequence[tuple[Board, Site]]) -> dict[str, State | None]:
        found: dict[str, State | None] = {}
        revisions = self._stats.revision([site for _, site in known])
        now = time.monotonic()
        for (board, site), revision in zip(known, revisions, strict=True):
            if revision != board.revision or now - board.read_at >= READ_AT_LEAST_EVERY_S:
                found[board.site] = self._states.read(site, now_ms())
                board.revision, board.read_at = revision, now
        return found


@cache
def live_feed() -> LiveFeed:
    """The one feed of this process."""
    return LiveFeed(stats())
