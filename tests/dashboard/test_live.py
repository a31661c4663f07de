"""The live page's websocket, over the product's own ASGI application and a real store."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import Permission, User
from django.test import Client

from dashboard.assets import page_version
from dashboard.live import live_feed
from ingest.models import Site
from tests.dashboard.counting import CountedStore
from tracker_site.asgi import application
from tracker_site.embedded.servers import Valkey

pytestmark = pytest.mark.django_db(transaction=True)
SOON = 3.0


@pytest.fixture(autouse=True)
def own_feed() -> None:
    """A feed of this test's own store and event loop."""
    live_feed.cache_clear()


@pytest.fixture
def site(transactional_db: None) -> Site:
    return Site.objects.create(public_id="example.com", name="Example")


@pytest.fixture
def viewer(transactional_db: None) -> Client:
    """A browser in which somebody who may view sites is logged in."""
    user = User.objects.create_user("viewer")
    user.user_permissions.add(Permission.objects.get(codename="view_site"))
    client = Client()
    client.force_login(user)
    return client


class Viewer:
    """One websocket of a browser."""

    def __init__(self, client: Client, site: str = "example.com") -> None:
        self._state: dict[str, Any] = {}
        cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
        self._socket = WebsocketCommunicator(
            application,
            f"/ws/live/{site}",
            headers=[(b"cookie", cookies.encode()), (b"origin", b"http://localhost")],
        )

    async def __aenter__(self) -> "Viewer":
        connected, _ = await self._socket.connect(timeout=SOON)
        assert connected
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._socket.disconnect()

    async def receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await self._socket.receive_from(timeout=SOON))
        return message

    async def acknowledge(self, message: dict[str, Any]) -> None:
        await self._socket.send_to(json.dumps({"ack": message["seq"]}))

    async def send(self, text: str) -> None:
        await self._socket.send_to(text)

    async def is_silent(self, seconds: float) -> bool:
        return bool(await self._socket.receive_nothing(seconds))

    async def close_code(self, seconds: float = SOON) -> int:
        output = await self._socket.receive_output(seconds)
        assert output["type"] == "websocket.close", output
        return int(output["code"])

    async def follow(self, until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Take messages as a page does, until the state is so."""
        async with asyncio.timeout(SOON):
            while True:
                message = await self.receive()
                self._state = message.get("state") or {**self._state, **message["changes"]}
                await self.acknowledge(message)
                if until(self._state):
                    return self._state


def run(steps: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(steps())


def count(store: CountedStore, site: Site, *paths: str) -> Awaitable[None]:
    return asyncio.to_thread(lambda: store.count(*(store.view(site, path) for path in paths)))


def test_it_shows_the_whole_state_and_then_what_changes(
    counted: CountedStore, site: Site, viewer: Client
) -> None:
    counted.count(counted.view(site, "/a"))

    async def steps() -> None:
        async with Viewer(viewer) as page:
            snapshot = await page.receive()
            assert (snapshot["type"], snapshot["page"]) == ("snapshot", page_version())
            assert snapshot["state"]["pages"] == [{"path": "/a", "views": 1, "visitors_now": 1}]
            await page.acknowledge(snapshot)
            await count(counted, site, "/a", "/b")
            update = await page.receive()
            while "pages" not in update["changes"]:
                assert set(update["changes"]) <= {"as_of", "minutes", "views_last_minute"}
                await page.acknowledge(update)
                update = await page.receive()
            assert update["type"] == "update" and update["seq"] > snapshot["seq"]
            assert update["changes"]["views_today"] == 3
            assert "time_zone" not in update["changes"]

    run(steps)


def test_it_sends_a_slow_viewer_the_newest_state_and_no_queue(
    counted: CountedStore, site: Site, viewer: Client
) -> None:
    async def steps() -> None:
        async with Viewer(viewer) as slow, Viewer(viewer) as quick:
            snapshot = await slow.receive()
            for views in range(1, 4):
                await count(counted, site, "/")
                await quick.follow(lambda state: state["views_today"] == views)  # noqa: B023
            assert await slow.is_silent(0.5)
            await slow.acknowledge(snapshot)
            update = await slow.receive()
            assert update["changes"]["views_today"] == 3
            assert update["seq"] > snapshot["seq"] + 1

    run(steps)


def test_it_reads_once_for_all_viewers(
    counted: CountedStore, site: Site, viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    feed = live_feed()
    read = feed._stats.live

    def counting(*arguments: Any) -> dict[str, Any]:
        nonlocal reads
        reads += 1
        return read(*arguments)

    monkeypatch.setattr(feed._stats, "live", counting)

    async def steps() -> None:
        pages = [await Viewer(viewer).__aenter__() for _ in range(20)]
        before = reads
        await count(counted, site, "/")
        await asyncio.gather(*(p.follow(lambda s: s["views_today"] == 1) for p in pages))
        assert reads - before <= 4
        for page in pages:
            await page.__aexit__()
        await asyncio.sleep(0)

    run(steps)


def test_it_tells_who_may_not_look(counted: CountedStore, site: Site, viewer: Client) -> None:
    User.objects.create_user("stranger")
    stranger = Client()
    stranger.force_login(User.objects.get(username="stranger"))

    async def steps() -> None:
        for client, name, code in [
            (Client(), "example.com", 4401),
            (stranger, "example.com", 4403),
            (viewer, "nowhere.example", 4404),
        ]:
            async with Viewer(client, name) as page:
                assert await page.close_code() == code

    run(steps)


def test_it_ends_when_the_login_the_right_or_the_site_does(
    counted: CountedStore, site: Site, viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashboard.consumers.CHECK_LOGIN_EVERY_S", 0.05)

    async def ends_with(change: Callable[[], object]) -> int:
        async with Viewer(viewer) as page:
            await page.receive()
            await asyncio.to_thread(change)
            return await page.close_code()

    rights = User.objects.get(username="viewer").user_permissions
    right = Permission.objects.get(codename="view_site")

    async def steps() -> None:
        assert await ends_with(rights.clear) == 4403
        await asyncio.to_thread(rights.add, right)
        assert await ends_with(Site.objects.all().delete) == 4404
        await asyncio.to_thread(lambda: Site.objects.create(public_id="example.com"))
        assert await ends_with(viewer.logout) == 4401

    run(steps)


@pytest.mark.parametrize("text", ["hello", "[]", '{"ack": "x"}', "{}"])
def test_it_closes_on_what_it_does_not_understand(
    counted: CountedStore, site: Site, viewer: Client, text: str
) -> None:
    async def steps() -> None:
        async with Viewer(viewer) as page:
            await page.receive()
            await page.send(text)
            assert await page.close_code() == 4400

    run(steps)


def test_it_says_when_the_live_store_is_away_and_when_it_is_back(
    mortal_store: Valkey, site: Site, viewer: Client
) -> None:
    async def steps() -> None:
        async with Viewer(viewer) as page:
            await page.follow(lambda state: state["as_of"]["state"] == "unknown")
            await asyncio.to_thread(mortal_store.stop)
            state = await page.follow(lambda state: state["as_of"]["state"] == "unavailable")
            assert state["views_today"] == 0
            await asyncio.to_thread(mortal_store.start)
            await page.follow(lambda state: state["as_of"]["state"] == "unknown")
        async with Viewer(viewer) as page:
            await page.receive()

    run(steps)


def test_it_shows_something_while_the_store_was_never_there(
    mortal_store: Valkey, site: Site, viewer: Client
) -> None:
    mortal_store.stop()

    async def steps() -> None:
        async with Viewer(viewer) as page:
            state = (await page.receive())["state"]
            assert (state["site"], state["views_today"]) == ("example.com", None)
            assert state["as_of"]["state"] == "unavailable"

    run(steps)
    answer = viewer.get("/sites/example.com/")
    assert answer.status_code == 200
    assert b"The live store does not answer now" in answer.content


def test_it_lists_sites_and_opens_the_only_one(
    counted: CountedStore, site: Site, viewer: Client
) -> None:
    counted.count(counted.view(site))
    assert viewer.get("/")["Location"] == "/sites/example.com/"
    Site.objects.create(public_id="other.example", active=False)
    html = viewer.get("/").content.decode()
    assert "Example" in html and "just now" in html
    assert "other.example" in html and "paused" in html and "nothing yet" in html


def test_it_lets_only_people_with_the_right_see_pages(site: Site, viewer: Client) -> None:
    for path in ("/", "/sites/example.com/"):
        assert Client().get(path)["Location"] == f"/login?next={path}"
    User.objects.get(username="viewer").user_permissions.clear()
    answer = viewer.get("/sites/example.com/")
    assert answer.status_code == 403 and b"You may not see this" in answer.content


def test_it_has_words_for_no_site_and_an_unknown_one(
    transactional_db: None, counted: CountedStore, viewer: Client
) -> None:
    assert b"Ask an admin to add one" in viewer.get("/").content
    answer = viewer.get("/sites/nowhere.example/")
    assert answer.status_code == 404 and b"There is nothing here" in answer.content
