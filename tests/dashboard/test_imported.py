"""What an import knows of page views, in the numbers of a running stack."""

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from tests.processing.pipeline import wait_for
from tests.stack import RunningStack

DAY = (datetime.now(UTC) - timedelta(days=2)).date()
GOATCOUNTER = f"""\
2Path,Event,Browser,System,Session,Bot,Referrer,Referrer scheme,Location,Date
/a,false,Firefox 121,macOS 10.15,one,0,,,US-TX,{DAY}T10:00:00Z
/b,false,Firefox 121,macOS 10.15,one,0,,,US-TX,{DAY}T10:01:00Z
/a,false,Chrome 120,Windows 10,two,0,,,DE,{DAY}T11:00:00Z
"""
UMAMI = f"""\
session_id,event_id,url_path,event_type,created_at,browser,os,device,country,region
u1,1,/c,1,{DAY} 12:00:00,crios,iOS,mobile,DE,DE-BY
u2,2,/c,1,{DAY} 12:00:00,edge-chromium,Windows 10,laptop,GB,GB-ENG
"""
TOP = {
    "browser": {"Firefox": 2, "Chrome": 2, "Edge": 1},
    "browser_version": {"Firefox 121": 2, "Chrome 120": 1},
    "os": {"macOS": 2, "Windows": 2, "iOS": 1},
    "country": {"US": 2, "DE": 2, "GB": 1},
    "region": {"Texas": 2, "Bavaria": 1, "England": 1},
    "device": {"mobile": 1, "desktop": 1},
}


def stats(stack: RunningStack, endpoint: str, **query: Any) -> Any:
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    return stack.get(f"/api/v1/stats/localhost/{endpoint}?from={DAY}&to={DAY}&{asked}")


def top(stack: RunningStack, dimension: str) -> dict[str, int]:
    results = stats(stack, "top", dimension=dimension)["results"]
    return {result["value"]: result["pageviews"] for result in results}


def _have_arrived(stack: RunningStack, events: int) -> bool:
    ledger = stack.get("/api/v1/ledger")["totals"]
    return bool(ledger["counted"] + ledger["duplicate"] >= events)


def test_what_an_export_knows_is_counted_once(stack: RunningStack, tmp_path: Path) -> None:
    for sent in (5, 10):
        for name, text in (("goatcounter.csv", GOATCOUNTER), ("umami.csv", UMAMI)):
            (tmp_path / name).write_text(text)
            told = stack.manage("import_log", str(tmp_path / name), "--site", "localhost")
            assert "0 refused, 0 malformed" in told
        wait_for(partial(_have_arrived, stack, sent), "everything to be counted", 60)
        assert {dimension: top(stack, dimension) for dimension in TOP} == TOP
        assert stats(stack, "totals")["pageviews"] == 5
