"""What is in the lines of logs and exports."""

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.import_formats import FORMATS, Found, UnknownFormat, format_of, found_in
from ingest.known import Known

CADDY: dict[str, Any] = {
    "level": "info",
    "ts": 1_646_861_401.524_1,
    "logger": "http.log.access",
    "msg": "handled request",
    "request": {
        "remote_ip": "10.0.0.1",
        "client_ip": "203.0.113.9",
        "proto": "HTTP/2.0",
        "method": "GET",
        "host": "shop.example",
        "uri": "/a?utm_source=mail",
        "headers": {"User-Agent": ["x"], "Referer": ["https://ref.example/"]},
    },
    "status": 200,
    "size": 10_900,
}
CLOUDFRONT = [
    "#Version: 1.0",
    "#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status "
    "cs(Referer) cs(User-Agent) cs-uri-query",
    "2019-12-04\t21:02:31\tLAX1\t392\t192.0.2.100\tGET\td1.cloudfront.net\t/index.html\t200\t"
    "https://ref.example/a%2520b\tMozilla/5.0\tpage=2",
    "2019-12-04\t21:02:32\tLAX1\t392\t192.0.2.100\tGET\td1.cloudfront.net\t/x.png\t200\t-\tM\t-",
]
GOATCOUNTER = [
    "2Path,Title,Event,UserAgent,Browser,System,Session,Bot,Referrer,Referrer scheme,Screen size,"
    "Location,FirstVisit,Date",
    '/a,"Said ""a,b""",false,,Chrome,Mac OS,sess-a,0,ref.example/x,h,"1440,900,2",DE,1,'
    "2026-07-09T01:00:00Z",
    "signup,Sign up,true,,Chrome,Mac OS,sess-a,0,Google,g,,DE,0,2026-07-09T01:05:00Z",
    "/bot,Home,false,,Chrome,Linux,sess-c,1,,,,DE,1,2026-07-09T02:00:00Z",
    "/late,Home,false,,Safari,iOS,,0,,,,JP,1,not-a-date",
    "/none,Home,false,,Safari,iOS,,0,,,,JP,1,2026-07-09T04:00:00Z",
]
PLAUSIBLE = [
    '"date","hostname","page","visits","visitors","pageviews"',
    '"2023-02-09","plausible.io","/docs",3,2,4',
    '"2023-02-09","plausible.io","/never",0,0,0',
    '"2023-02-10","","/docs",1,1,"many"',
]
UMAMI = [
    "website_id,session_id,visit_id,event_id,hostname,browser,os,device,screen,language,country,"
    "url_path,url_query,referrer_path,referrer_domain,page_title,event_type,event_name,created_at",
    "w,s1,v1,e1,shop.example,chrome,Linux,desktop,1920x1080,de-DE,DE,/a,b=1,/r,ref.example,"
    "Shop,1,,2024-05-01 10:00:00",
    "w,s1,v1,e2,shop.example,chrome,Linux,desktop,1920x1080,de-DE,DE,/a,,,,Shop,2,signup,"
    "2024-05-01 10:00:05",
    "w,,v1,e3,shop.example,chrome,Linux,desktop,,,DE,/a,,,,Shop,1,,2024-05-01 10:00:05",
    "w,s1,v1,e4,shop.example,chrome,Linux,desktop,,,DE,/a,,,,Shop,5,,2024-05-01 10:00:05",
]


def found(lines: list[str], format_: str | None = None) -> list[Found]:
    format_ = format_ or format_of(lines[0])
    return [one for one in found_in(lines, "s", format_) if one is not None]


def events(lines: list[str]) -> list[dict[str, Any]]:
    return [event for one in found(lines) for event in one.events]


def without_ids(lines: list[str]) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in event.items() if name not in ("event_id", "user_id")}
        for event in events(lines)
    ]


def test_it_reads_caddy() -> None:
    (event,) = events([json.dumps(CADDY)])
    assert event["user_id"] == "203.0.113.9"
    assert event["timestamp"] == 1_646_861_401_524
    assert event["page_url"] == "/a?utm_source=mail"
    assert event["referrer"] == "https://ref.example/"


def test_it_reads_other_lines_of_caddy() -> None:
    older = {**CADDY, "ts": "2022-03-09T21:30:01.5Z", "request": {**CADDY["request"]}}
    del older["request"]["client_ip"], older["request"]["headers"]
    (event,) = events([json.dumps(older)])
    assert (event["user_id"], event["timestamp"]) == ("10.0.0.1", 1_646_861_401_500)
    assert "referrer" not in event


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"request": None}, "no object “request”"),
        ({"ts": "yesterday"}, "“ts” is 'yesterday'"),
        ({"ts": "2022-03-09T21:30:01"}, "“ts” is"),
        ({"status": "fine"}, "“status” is 'fine'"),
        ({"request": {**CADDY["request"], "uri": ""}}, "“request.uri” is missing"),
    ],
)
def test_it_says_what_is_wrong_in_caddy(change: dict[str, Any], complaint: str) -> None:
    (one,) = found([json.dumps(CADDY | change)])
    assert complaint in one.malformed


def test_it_reads_cloudfront() -> None:
    assert [one.skipped for one in found(CLOUDFRONT)] == ["a comment"] * 2 + ["", "not a page"]
    (event,) = events(CLOUDFRONT)
    assert event["page_url"] == "/index.html?page=2"
    assert event["referrer"] == "https://ref.example/a%20b"
    assert (event["user_id"], event["timestamp"]) == ("192.0.2.100", 1_575_493_351_000)


def test_it_says_what_is_wrong_in_cloudfront() -> None:
    assert "no line before it begins with" in found([CLOUDFRONT[2]], "cloudfront")[0].malformed
    short = found([*CLOUDFRONT[:2], "2019-12-04\t21:02:31"])
    assert "it has 2 columns, #Fields has 12" in short[2].malformed
    wrong = CLOUDFRONT[2].replace("21:02:31", "now").replace("\t200\t", "\t-\t")
    assert "sc-status is missing" in found([*CLOUDFRONT[:2], wrong])[2].malformed


def test_it_reads_goatcounter() -> None:
    rows = found(GOATCOUNTER)
    assert [one.line for one in rows] == [2, 3, 4, 5, 6]
    assert rows[2].skipped == "of a bot"
    assert "Date is 'not-a-date'" in rows[3].malformed
    page, signup, alone = events(GOATCOUNTER)
    assert page["user_id"] == signup["user_id"] == "sess-a" != alone["user_id"]
    assert without_ids(GOATCOUNTER)[:2] == [
        {
            "page_url": "/a",
            "timestamp": 1_783_558_800_000,
            "title": 'Said "a,b"',
            "referrer": "https://ref.example/x",
            "screen": "1440x900",
            "known": {"country": "DE", "browser": "Chrome", "os": "macOS"},
        },
        {
            "name": "signup",
            "page_url": "/",
            "timestamp": 1_783_559_100_000,
            "title": "Sign up",
            "known": {"country": "DE", "browser": "Chrome", "os": "macOS"},
        },
    ]


FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0"


@pytest.mark.parametrize(
    ("columns", "known"),
    [
        (",Firefox 121,Windows 10,,,,US-TX",
         {"country": "US", "region": "Texas", "browser": "Firefox", "browser_version": "121",
          "os": "Windows", "os_version": "10"}),
        (f"{FIREFOX},Chrome 1,Windows 10,,,,",
         {"browser": "Firefox", "browser_version": "121", "os": "Linux", "device": "desktop"}),
        (f",{FIREFOX},,,,,us",
         {"country": "US", "browser": "Firefox", "browser_version": "121", "os": "Linux",
          "device": "desktop"}),
        ("~Z (X11) ~f121,Firefox 121,Linux,,,,ZZZ",
         {"browser": "Firefox", "browser_version": "121", "os": "Linux"}),
        (",Mozilla/5.0 (who knows),,,,,", None),
        (",,,,,,", None),
    ],
)  # fmt: skip
def test_it_reads_what_goatcounter_knows(columns: str, known: dict[str, str] | None) -> None:
    agent, browser, system, *_, location = columns.split(",")
    head = "2Path,Event,UserAgent,Browser,System,Session,Bot,Referrer,Referrer scheme,Location,Date"
    row = f"/a,false,{agent},{browser},{system},s,0,,,{location},2026-07-09T01:00:00Z"
    (event,) = events([head, row])
    assert event.get("known") == known


def test_it_reads_plausible() -> None:
    rows = found(PLAUSIBLE)
    assert rows[1].skipped == "without page views"
    assert "pageviews is 'many', which is no number" in rows[2].malformed
    made = events(PLAUSIBLE)
    assert len(made) == len({event["event_id"] for event in made}) == 4
    assert len({event["user_id"] for event in made}) == 2
    assert {event["page_url"] for event in made} == {"https://plausible.io/docs"}
    hours = [(event["timestamp"] - 1_675_900_800_000) // 3_600_000 for event in made]
    assert hours == [0, 6, 12, 18]


def test_it_reads_umami() -> None:
    rows = found(UMAMI)
    assert "session_id is empty" in rows[2].malformed
    assert rows[3].skipped == "neither page view nor event"
    view, signup = events(UMAMI)
    assert view == {
        "event_id": "umami-e1",
        "user_id": "s1",
        "page_url": "https://shop.example/a?b=1",
        "timestamp": 1_714_557_600_000,
        "title": "Shop",
        "referrer": "https://ref.example/r",
        "screen": "1920x1080",
        "language": "de-DE",
        "known": {"country": "DE", "browser": "Chrome", "os": "Linux", "device": "desktop"},
    }
    assert signup["name"] == "signup"


@pytest.mark.parametrize(
    ("column", "value"), [("region", "US-CA"), ("region", "CA"), ("subdivision1", "US-CA")]
)
def test_it_reads_what_umami_knows(column: str, value: str) -> None:
    head = f"event_id,session_id,url_path,event_type,created_at,browser,os,device,country,{column}"
    row = f"e,s,/,1,2024-05-01 10:00:00,edge-chromium,Windows 10,laptop,US,{value}"
    (event,) = events([head, row])
    assert event["known"] == {
        "country": "US", "region": "California", "browser": "Edge",
        "os": "Windows", "os_version": "10", "device": "desktop",
    }  # fmt: skip


cells = st.text().map(lambda text: re.sub('[,"\r\n]', "", text)) | st.sampled_from(
    ["Windows " + "9" * 99, "x" * 99 + " 1", "Firefox 121.0.3", "DE", "DE-BE", "B/C", "laptop"]
)


@given(st.lists(cells, min_size=5, max_size=5))
def test_what_it_knows_is_always_taken(values: list[str]) -> None:
    """One that is not would refuse the others of its batch."""
    umami = "event_id,session_id,url_path,event_type,created_at,browser,os,device,country,region"
    goat = "2Path,Event,Session,Bot,Referrer,Referrer scheme,Date,Browser,System,UserAgent,Location"
    for lines in (
        [umami, "e,s,/,1,2024-05-01 10:00:00," + ",".join(values)],
        [goat, "/,false,s,0,,,2024-05-01T10:00:00Z," + ",".join(values[:4])],
    ):
        for event in events(lines):
            msgspec.convert(event.get("known", {}), Known)


@pytest.mark.parametrize("lines", [CLOUDFRONT, GOATCOUNTER, PLAUSIBLE, UMAMI, [json.dumps(CADDY)]])
def test_ids_are_the_same_each_time(lines: list[str]) -> None:
    assert [event["event_id"] for event in events(lines)] == [
        event["event_id"] for event in events(lines)
    ]
    twice = events([lines[0], *lines[1:], *lines[1:]]) if len(lines) > 1 else events(lines * 2)
    if lines is not UMAMI:  # which has ids of its own
        assert len({event["event_id"] for event in twice}) == len(twice)


def test_it_says_which_column_is_missing() -> None:
    with pytest.raises(UnknownFormat, match="line 1: the column 'page' is missing; found are date"):
        found(["date,visitors,pageviews", "2024-01-01,1,1"], "plausible")
    with pytest.raises(UnknownFormat, match=r"Of Plausible's files it is imported_pages"):
        format_of('"date","visitors","pageviews","bounces","visits","visit_duration"')
    short = found([*UMAMI[:1], "w,s1"])
    assert "it has 2 columns, the first line has 19" in short[0].malformed


@given(st.sampled_from(FORMATS), st.lists(st.text(), max_size=5))
def test_it_reads_or_refuses_anything(format_: str, lines: list[str]) -> None:
    heads = {
        "goatcounter": GOATCOUNTER, "plausible": PLAUSIBLE, "umami": UMAMI, "cloudfront": CLOUDFRONT
    }  # fmt: skip
    lines = [*heads.get(format_, [""])[:2], *lines]
    for one in found(lines, format_):
        assert list(one.events) or one.skipped or one.malformed
