"""`matomo.php`, by GET, POST and in bulk."""

from typing import Any
from urllib.parse import urlencode

import pytest

from tests.ingest.doors.tracker_door import CHROME, GOOGLEBOT, TrackerDoor

pytestmark = [pytest.mark.xdist_group("doors"), pytest.mark.any_database]
PATH = "/matomo.php"
VIEW = {"idsite": "1", "rec": "1", "url": "https://shop.example/a", "action_name": "A"}
FORM = "application/x-www-form-urlencoded; charset=UTF-8"
CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"name": "pageview", "path": "/a", "hostname": "shop.example", "title": "A",
          "browser": "Chrome"}),
    ({"urlref": "https://google.com/", "res": "1366x768", "lang": "de-CH,de"},
     {"source": "Google", "screen": "1366x768", "language": "de-CH"}),
    ({"_rcn": "spring", "_rck": "shoes"}, {"utm_campaign": "spring", "utm_term": "shoes"}),
    ({"cdt": "2026-11-20 10:00:00"}, {"ts": 1_795_168_800_000}),
    ({"cdt": "1795168800"}, {"ts": 1_795_168_800_000}),
    ({"e_c": "video", "e_a": "play", "e_n": "intro", "e_v": "42"},
     {"name": "play", "props": {"category": "video", "label": "intro", "value": "42"}}),
    ({"link": "https://other.example/"},
     {"name": "outbound_link", "props": {"url": "https://other.example/"}}),
    ({"download": "https://shop.example/a.pdf"},
     {"name": "file_download", "props": {"url": "https://shop.example/a.pdf"}}),
    ({"search": "shoes", "search_count": "3"},
     {"name": "site_search", "props": {"term": "shoes", "results": "3"}}),
    ({"idgoal": "4", "revenue": "9.5"}, {"name": "goal", "props": {"goal": "4", "revenue": "9.5"}}),
    ({"idgoal": "0", "ec_id": "o1", "revenue": "9.5"},
     {"name": "ecommerce_order", "props": {"order": "o1", "revenue": "9.5"}}),
    ({"idgoal": "0", "revenue": "9.5"}, {"name": "ecommerce_cart"}),
    ({"c_n": "ad", "c_p": "a.png"},
     {"name": "content_impression", "props": {"content": "ad", "piece": "a.png"}}),
    ({"c_n": "ad", "c_i": "click"}, {"name": "content_interaction"}),
    ({"ping": "1"}, {"name": "engagement", "props": None}),
    ({"dimension2": "red", "cvar": '{"1":["plan","pro"],"2":5}'},
     {"props": {"dimension2": "red", "plan": "pro"}}),
    ({"cvar": "{"}, {"props": None}),
    ({"ua": GOOGLEBOT}, {"bot": "crawler"}),
    ({"url": ""}, {"path": "/"}),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "expected"), CASES)
@pytest.mark.parametrize("way", ["get", "post", "bulk"])
def test_it_translates(
    door: TrackerDoor, way: str, changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    query = urlencode(VIEW | changes)
    if way == "bulk":
        said = door.ask(PATH, {"requests": [f"?{query}"]})
        assert said.json == {"status": "success", "tracked": 1, "invalid": 0}
    elif way == "get":
        said = door.get(f"{PATH}?{query}")
        assert (said.headers["content-type"], said.body[:6]) == ("image/gif", b"GIF89a")
        assert "access-control-allow-origin" not in said.headers
    else:
        said = door.ask(PATH, query, content_type=FORM, origin="https://shop.example")
        assert said.headers["access-control-allow-origin"] == "https://shop.example"
        assert said.headers["access-control-allow-credentials"] == "true"
    assert said.status == 200
    door.check_event(expected)


def test_it_answers_to_its_old_name(door: TrackerDoor) -> None:
    assert door.get(f"/piwik.php?{urlencode(VIEW)}").status == 200
    door.check_event({"path": "/a"})


def test_what_happened_a_while_ago_is_told_by_its_age(door: TrackerDoor) -> None:
    door.get(f"{PATH}?{urlencode(VIEW | {'cdo': '90'})}")
    event = door.event()
    assert event.received - event.ts == 90_000


@pytest.mark.parametrize("way", ["GET", "POST"])
def test_scripts_need_no_image(door: TrackerDoor, way: str) -> None:
    said = door.ask(f"{PATH}?{urlencode(VIEW | {'send_image': '0'})}", method=way)
    assert (said.status, said.body) == (204, b"")
    assert "content-type" not in said.headers
    door.check_event({"path": "/a"})


def test_it_knows_users_and_browsers(door: TrackerDoor) -> None:
    for changes in ({"uid": "u1"}, {"uid": "u1", "_id": "f" * 16}, {"_id": "f" * 16}, {}):
        door.get(f"{PATH}?{urlencode(VIEW | changes)}")
    user, again, browser, nobody = (event.visitor for event in door.events(4))
    assert user == again
    assert len({user, browser, nobody}) == 3


def test_a_browsers_id_does_not_vouch_for_a_person(door: TrackerDoor) -> None:
    door.get(f"{PATH}?{urlencode(VIEW | {'_id': 'f' * 16})}", user_agent=GOOGLEBOT)
    door.check_event({"bot": "crawler"})
    door.get(f"{PATH}?{urlencode(VIEW | {'uid': 'u1'})}", user_agent=GOOGLEBOT)
    door.check_event({"bot": None})


def test_a_server_speaks_for_its_visitor(door: TrackerDoor) -> None:
    spoken = VIEW | {"ua": CHROME, "cip": "203.0.113.7", "token_auth": "t" * 32}
    door.get(f"{PATH}?{urlencode(spoken)}", user_agent="python-requests/2.34")
    door.check_event({"browser": "Chrome"})
    door.get(f"{PATH}?{urlencode(VIEW)}", user_agent="python-requests/2.34")
    door.check_event({"browser": None})


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"idsite": "2"}, 400),
        ({"idsite": ""}, 400),
        ({"rec": "0"}, 200),
        ({"url": "ftp://a.example"}, 400),
        ({"url": "https://a.example/" + "a" * 5_000}, 400),
        ({"cdt": "soon"}, 400),
        ({"uid": "u" * 300}, 400),
        ({f"a{n}": "1" for n in range(201)}, 400),
    ],
)
def test_what_is_not_tracked_is_answered_with_a_pixel_too(
    door: TrackerDoor, changes: dict[str, str], status: int
) -> None:
    said = door.get(f"{PATH}?{urlencode(VIEW | changes)}")
    assert (said.status, said.headers["content-type"]) == (status, "image/gif")
    assert said.headers["x-tracker-refused"]
    door.no_event()


def test_actions_of_plugins_are_not_counted(door: TrackerDoor) -> None:
    assert door.get(f"{PATH}?{urlencode(VIEW | {'ca': '1', 'ma_id': 'x'})}").status == 200
    door.no_event()


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("POST", 400)])
def test_it_says_what_it_is(door: TrackerDoor, method: str, status: int) -> None:
    said = door.ask(PATH, method=method)
    assert (said.status, said.headers["content-type"]) == (status, "text/plain")
    door.no_event()


def test_a_bulk_keeps_what_is_valid(door: TrackerDoor) -> None:
    requests: list[Any] = [
        VIEW,
        f"?{urlencode(VIEW | {'idsite': '2'})}",
        f"https://m.example/matomo.php?{urlencode(VIEW | {'url': '/b'})}",
        "no query",
        None,
        [],
    ]
    said = door.ask(PATH, {"requests": requests, "token_auth": "t" * 32})
    assert said.json == {"status": "success", "tracked": 2, "invalid": 4}
    assert {event.path for event in door.events(2)} == {"/a", "/b"}


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b'{"requests"', 400), ({"requests": 5}, 400), ({"requests": [VIEW] * 1_001}, 400),
     ({"requests": []}, 200)],
)  # fmt: skip
def test_it_says_what_is_no_bulk(door: TrackerDoor, sent: Any, status: int) -> None:
    said = door.ask(PATH, sent)
    assert (said.status, said.json["tracked"]) == (status, 0)
    door.no_event()


def test_a_bulk_may_want_no_answer(door: TrackerDoor) -> None:
    assert door.ask(PATH, {"requests": [VIEW], "send_image": 0}).status == 204
    door.check_event({"path": "/a"})


def test_browsers_may_send_with_their_cookies(door: TrackerDoor) -> None:
    said = door.ask(
        PATH, b"", "OPTIONS", origin="https://a.example", access_control_request_method="POST"
    )
    assert (said.status, said.headers["access-control-allow-origin"]) == (204, "https://a.example")
    assert said.headers["access-control-allow-credentials"] == "true"
