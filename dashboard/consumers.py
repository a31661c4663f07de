"""The websocket of the live page (SPEC.md §8)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any

import msgspec
from channels.auth import get_user
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.db import DatabaseError

from dashboard.live import SiteGone, Snapshot, live_feed
from ingest.models import Site

logger = logging.getLogger(__name__)

LOGGED_OUT, NOT_ALLOWED, NO_SITE, NOT_UNDERSTOOD, TROUBLE = 4401, 4403, 4404, 4400, 1011
CHECK_LOGIN_EVERY_S = 15.0


class _Ack(msgspec.Struct):
    ack: int


class LiveConsumer(AsyncWebsocketConsumer):
    """Shows one viewer one site: the whole state, then what changed, each after the last
    was acknowledged."""

    async def connect(self) -> None:
        self._acknowledged = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        # A browser learns the close code only of a connection that was accepted.
        await self.accept()
        self._site = self.scope["url_route"]["kwargs"]["site"]
        if not await self._is_allowed():
            return
        self._tasks = [
            asyncio.create_task(self._guard(step)) for step in (self._show, self._watch_login)
        ]

    async def disconnect(self, code: int) -> None:
        for task in self._tasks:
            task.cancel()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        try:
            msgspec.json.decode(text_data or b"", type=_Ack)
        except msgspec.MsgspecError:
            await self.close(NOT_UNDERSTOOD)
        else:
            self._acknowledged.set()

    async def _show(self) -> None:
        seen: Snapshot | None = None
        with live_feed().board(self._site) as board:
            while True:
                newest = await board.newer_than(seen)
                self._acknowledged.clear()
                await self.send(text_data=board.frame(seen))
                seen = newest
                await self._acknowledged.wait()

    async def _watch_login(self) -> None:
        """A page may stay open for days: it ends with the login and the permission."""
        while await self._is_allowed():
            await asyncio.sleep(CHECK_LOGIN_EVERY_S)

    async def _guard(self, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except SiteGone:
            await self.close(NO_SITE)
        except Exception:
            # Nobody waits for this task; the viewer must not be left with a frozen page.
            logger.exception("A viewer of %s lost its page.", self._site)
            await self.close(TROUBLE)

    async def _is_allowed(self) -> bool:
        """Whether the viewer may see the site now; if not, the connection is closed."""
        try:
            code = await self._refusal()
        except DatabaseError:
            logger.warning("A login could not be checked.", exc_info=True)
            code = TROUBLE
        if code:
            await self.close(code)
        return not code

    async def _refusal(self) -> int:
        # From the store, not from the connection: the session may have ended since.
        scope: Any = {"session": _session(self.scope["session"].session_key)}
        user = await get_user(scope)
        if not user.is_authenticated:
            return LOGGED_OUT
        return await database_sync_to_async(_refusal_of)(user, self._site)


def _session(key: str | None) -> Any:
    return import_module(settings.SESSION_ENGINE).SessionStore(key)


def _refusal_of(user: Any, site: str) -> int:
    if not user.has_perm("ingest.view_site"):
        return NOT_ALLOWED
    return 0 if Site.objects.filter(public_id=site).exists() else NO_SITE
