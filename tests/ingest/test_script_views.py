"""`/js/t.js` and `/js/options.js` as they are served."""

import gzip
from base64 import b64encode
from hashlib import sha384
from typing import Any

import pytest
from django.test import Client

from ingest.tracker_script import NAMES, tracker_script

KB = 1_024


def get(name: str, query: str = "", **headers: str) -> Any:
    return Client().get(f"/js/{name}{query}", headers=headers)


def test_the_core_is_under_a_kilobyte() -> None:
    assert len(get("t.js", accept_encoding="gzip").content) < KB


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("accepts", ["gzip, deflate, br", "br", ""])
def test_pages_of_every_origin_get_it(name: str, accepts: str) -> None:
    response = get(name, accept_encoding=accepts)
    zipped = response.get("Content-Encoding") == "gzip"
    assert zipped == ("gzip" in accepts)
    text = gzip.decompress(response.content) if zipped else response.content
    assert text == tracker_script(name, 10).text
    assert response["Content-Type"] == "text/javascript; charset=utf-8"
    assert response["Access-Control-Allow-Origin"] == "*"
    assert response["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert response["Vary"] == "Accept-Encoding"
    assert response.cookies == {}


@pytest.mark.parametrize("name", NAMES)
def test_caches_keep_it_for_an_hour_and_a_version_for_ever(name: str) -> None:
    version = tracker_script(name, 10).version
    assert get(name)["Cache-Control"] == "public, max-age=3600"
    assert get(name, f"?v={version}")["Cache-Control"] == "public, max-age=31536000, immutable"
    assert get(name, "?v=another")["Cache-Control"] == "public, max-age=3600"


@pytest.mark.parametrize("name", NAMES)
def test_it_is_not_sent_again_where_it_has_not_changed(name: str) -> None:
    etag = get(name)["ETag"]
    response = get(name, if_none_match=etag, accept_encoding="gzip")
    assert (response.status_code, response.content) == (304, b"")
    assert response["Cache-Control"] == "public, max-age=3600"
    assert get(name, if_none_match='W/"another"').status_code == 200


def test_its_hash_is_that_of_what_is_served() -> None:
    digest = b64encode(sha384(get("t.js").content).digest()).decode()
    assert tracker_script("t.js", 10).integrity == f"sha384-{digest}"


@pytest.mark.parametrize(("window", "minutes"), [(10, "9"), (2, "1"), (1, "0.5"), (60, "59")])
def test_it_stops_to_send_again_before_ids_are_forgotten(
    settings: Any, window: int, minutes: str
) -> None:
    settings.DUPLICATE_WINDOW_MINUTES = window
    assert f"<{minutes}*6e4" in get("t.js").content.decode()


def test_it_is_only_read() -> None:
    assert Client().head("/js/t.js").status_code == 200
    refused = Client().post("/js/t.js")
    assert (refused.status_code, refused["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("told", "is_known"),
    [
        ("W/{}", True), ("{}", True), ('"a", {}', True), ("*", True),
        ('"a"', False), ("a", False), ("", False), ("W/", False), ('"*"', False),
    ],
)  # fmt: skip
def test_it_compares_what_a_cache_has_weakly(told: str, is_known: bool) -> None:
    tag = f'"{tracker_script("t.js", 10).version}"'
    status = get("t.js", if_none_match=told.format(tag)).status_code
    assert status == (304 if is_known else 200)
