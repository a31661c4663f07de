"""Compares everything that can be seen of a run with the independent recount.

Each check gives sentences, one a deviation; none means that the promise held.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import pyarrow.parquet as pq
import redis
from pyarrow.fs import FileSelector, FileSystem, FileType

from tests.chaos.recount import Place, Record, Recount
from tests.chaos.traffic import SITES, Journal, Sent
from tests.reference import OF_VISITS

_MOST_SHOWN = 5


@dataclass(frozen=True)
class Evidence:
    """What is left after a run."""

    records: list[Record]
    dead: list[tuple[Place, bytes]]
    journal: Journal
    recount: Recount
    topic_id: str
    shards: int
    store: "redis.Redis"
    archive_url: str


def deviations(evidence: Evidence) -> list[str]:
    """All of them, in words; of each kind the first few."""
    found: list[str] = []
    for check in (
        _acked_are_in_the_log,
        _log_holds_only_what_was_sent,
        _dead_letters_are_kept,
        _ledger_adds_up,
        _sites_ledgers_add_up,
        _copies_are_told_apart,
        _numbers_are_equal,
        _visitors_are_close,
        _arrivals_are_equal,
        _archive_is_whole,
    ):
        these = list(check(evidence))
        found += these[:_MOST_SHOWN]
        if len(these) > _MOST_SHOWN:
            found.append(f"… and {len(these) - _MOST_SHOWN} more of {check.__name__.strip('_')}")
    return found


def _acked_are_in_the_log(evidence: Evidence) -> Iterator[str]:
    events = evidence.recount.events
    for sent in evidence.journal.events.values():
        for receipt in sent.receipts:
            partition, _, offset = receipt.partition("-")
            event = events.get((int(partition), int(offset)))
            if event is None or event["id"] not in sent.ids:
                yield f"LOST: {sent.token} was acknowledged as {receipt}, there is {event}"


def _log_holds_only_what_was_sent(evidence: Evidence) -> Iterator[str]:
    copies: Counter[str] = Counter()
    for place, event in evidence.recount.events.items():
        if event["id"] in evidence.journal.bots:
            continue
        token = event.get("title", "")
        sent = evidence.journal.events.get(token)
        copies[token] += 1
        if sent is None or sent.refused or not _is_same(sent, event):
            yield f"INVENTED: nobody sent what is at {place}: {event}"
        elif sent.event_id is None and copies[token] > 1:
            yield f"DOUBLED: {token} was sent once and is in the log {copies[token]} times"


def _is_same(sent: Sent, event: dict[str, Any]) -> bool:
    given = (event["site"], event["path"], event["ts"], event.get("name", "pageview"))
    same_id = sent.event_id is None or sent.event_id == event["id"]
    return same_id and given == (sent.site, sent.path, sent.ts, sent.name)


def _dead_letters_are_kept(evidence: Evidence) -> Iterator[str]:
    dead = dict(evidence.dead)
    for place, value in evidence.recount.invalid.items():
        if dead.get(place) != value:
            yield f"DEAD LETTER LOST: {value!r} at {place} is kept as {dead.get(place)!r}"
    for place in dead.keys() - evidence.recount.invalid.keys():
        yield f"DEAD LETTER INVENTED: {dead[place]!r} from {place}"


def _ledger_adds_up(evidence: Evidence) -> Iterator[str]:
    totals: Counter[str] = Counter()
    by_partition: Counter[tuple[int, str]] = Counter()
    for shard in range(evidence.shards):
        markers = _numbers(evidence.store, f"{{s{shard:02d}}}:marker:{evidence.topic_id}")
        for partition, end in evidence.recount.ends.items():
            if markers.get(str(partition), 0) != end:
                yield f"MARKER: shard {shard}, partition {partition}: {markers}, its end is {end}"
        ledger = _numbers(evidence.store, f"{{s{shard:02d}}}:ledger:{evidence.topic_id}")
        for name, count in ledger.items():
            partition_name, _, category = name.partition(":")
            totals[category] += count
            by_partition[int(partition_name), category] += count
    for partition, end in evidence.recount.ends.items():
        read = sum(n for (p, _), n in by_partition.items() if p == partition)
        if read != end:
            yield f"LEDGER: partition {partition} has {read} events of {end}"
    for key in evidence.recount.by_partition.keys() | by_partition.keys():
        if key[1] in ("bot", "invalid") and by_partition[key] != evidence.recount.by_partition[key]:
            yield f"LEDGER: {key}: {by_partition[key]}, not {evidence.recount.by_partition[key]}"
    for category in totals.keys() | evidence.recount.ledger.keys():
        if totals[category] != evidence.recount.ledger[category]:
            yield (
                f"LEDGER: {category}: {totals[category]}, not {evidence.recount.ledger[category]}"
            )


def _sites_ledgers_add_up(evidence: Evidence) -> Iterator[str]:
    found = {
        (site, rest.removeprefix("ledger:"), category): events
        for site in SITES
        for rest, key in _keys(evidence, site, "hash")
        if rest.startswith("ledger:")
        for category, events in _numbers(evidence.store, key).items()
    }
    for key in found.keys() | evidence.recount.site_days.keys():
        least, most = evidence.recount.site_days.get(key, (0, 0))
        if not least <= found.get(key, 0) <= most:
            yield f"SITE LEDGER: {key}: {found.get(key, 0)}, not {least} to {most}"
    if sum(found.values()) != len(evidence.recount.events):
        yield f"SITE LEDGER: {sum(found.values())} events, not {len(evidence.recount.events)}"


def _copies_are_told_apart(evidence: Evidence) -> Iterator[str]:
    for places in evidence.recount.contradictions:
        yield f"DUPLICATES: not one of the copies at {places} was counted"


def _numbers_are_equal(evidence: Evidence) -> Iterator[str]:
    """Page views, bots, visits, and all that is counted by a dimension."""
    in_redis = {
        (site, bucket): _numbers(evidence.store, key)
        for site in SITES
        for bucket, key in _keys(evidence, site, "hash")
        if bucket[:2] in ("m:", "h:", "d:")
    }
    expected = evidence.recount.numbers
    for key in in_redis.keys() | expected.keys():
        there = _comparable(evidence, in_redis.get(key, {}))
        wanted = _comparable(evidence, expected.get(key, {}))
        for name in sorted(there.keys() | wanted.keys()):
            if there.get(name, 0) != wanted.get(name, 0):
                found = f"Redis {there.get(name, 0)}, log {wanted.get(name, 0)}"
                yield f"COUNT: {key}, {name!r}: {found}"


def _comparable(evidence: Evidence, counts: Mapping[str, int]) -> dict[str, int]:
    return {
        name: number
        for name, number in counts.items()
        if evidence.recount.knows_visits or not name.startswith(OF_VISITS)
    }


def noted_duplicates(
    store: "redis.Redis", topic_id: str, shards: int, partitions: int
) -> Callable[[str, Place], bool]:
    """What Redis says of a site's events: a run of offsets leads over those of other shards."""

    def read(shard: int, partition: int) -> list[tuple[int, int]]:
        found: Any = store.zrange(f"{{s{shard:02d}}}:duplicates:{topic_id}:{partition}", 0, -1)
        runs = [run.decode().split("-") for run in found]
        return [(int(first), int(last)) for first, last in runs]

    runs = {(s, p): read(s, p) for s in range(shards) for p in range(partitions)}

    def noted(site: str, place: Place) -> bool:
        shard = crc32(site.encode()) % shards
        return any(first <= place[1] <= last for first, last in runs[shard, place[0]])

    return noted


def _visitors_are_close(evidence: Evidence) -> Iterator[str]:
    for (site, bucket), visitors in evidence.recount.visitors.items():
        found = evidence.store.pfcount(_key(evidence, site, f"{bucket}:v"))
        least = int(len(visitors.certain) * 0.97)
        most = len(visitors.possible) * 1.03 + 1
        if not least <= found <= most:
            yield f"VISITORS: {site} {bucket}: {found}, not {least} to {most:.0f}"


def _arrivals_are_equal(evidence: Evidence) -> Iterator[str]:
    found = {
        (site, int(bucket.removeprefix("live:"))): _numbers(evidence.store, key)["*"]
        for site in SITES
        for bucket, key in _keys(evidence, site, "hash")
        if bucket.startswith("live:")
    }
    for key in found.keys() | evidence.recount.arrivals.keys():
        least, most = evidence.recount.arrivals.get(key, (0, 0))
        if not least <= found.get(key, 0) <= most:
            yield f"ARRIVALS: {key}: {found.get(key, 0)}, not {least} to {most}"


def _archive_is_whole(evidence: Evidence) -> Iterator[str]:
    rows: dict[Place, list[dict[str, Any]]] = defaultdict(list)
    for row in archived(evidence.archive_url, evidence.topic_id):
        rows[row["partition"], row["offset"]].append(row)
    for record in evidence.records:
        copies = rows.pop(record.place, [])
        if len(copies) != 1:
            yield f"ARCHIVE: {record.place} is there {len(copies)} times"
        elif not _is_archived(record, copies[0], evidence.recount):
            yield f"ARCHIVE: {record.place} holds {copies[0]}, the log {record.value!r}"
    for place in rows:
        yield f"ARCHIVE: {place} is not in the log"


def _is_archived(record: Record, row: dict[str, Any], found: Recount) -> bool:
    event = found.events.get(record.place)
    if event is None:
        return bool(row["raw"] == record.value)
    return all(row[name] == event[name] for name in ("id", "site", "path", "ts", "received"))


def archived(url: str, topic_id: str) -> Iterator[dict[str, Any]]:
    """Every row of every object of one log, from the store itself, not from the plan."""
    filesystem, root = FileSystem.from_uri(url)
    selector = FileSelector(root, recursive=True, allow_not_found=True)
    for found in filesystem.get_file_info(selector):
        if found.type == FileType.File and f"/log={topic_id}/" in found.path:
            if found.base_name.startswith("."):
                continue
            with filesystem.open_input_file(found.path) as file:
                yield from pq.read_table(file).to_pylist()


def live_deviations(store: "redis.Redis", states: dict[str, dict[str, Any]], shards: int,
                    days: dict[str, str]) -> Iterator[str]:  # fmt: skip
    """The live pages' last states beside Redis. `days`: each site's today, as 20261123."""
    for site, state in states.items():
        shard = crc32(site.encode()) % shards
        prefix = f"{{s{shard:02d}}}:{site}:"
        day = f"{prefix}d:{days[site]}"
        found = {
            "views_today": _numbers(store, day).get("*", 0),
            "visitors_today": store.pfcount(f"{day}:v"),
            "minutes": [
                [minute, _numbers(store, f"{prefix}live:{minute}").get("*", 0)]
                for minute, _ in state["minutes"]
            ],
        }
        pages: Counter[str] = Counter()
        for minute, _ in state["minutes"]:
            pages.update(_numbers(store, f"{prefix}live:{minute}"))
        shown = {page["path"]: page["views"] for page in state["pages"]}
        if shown != {path: n for path, n in pages.items() if path.startswith("/")}:
            yield f"LIVE: {site} pages: {shown}, Redis has {dict(pages)}"
        for name, value in found.items():
            if state[name] != value:
                yield f"LIVE: {site} {name}: {state[name]}, Redis has {value}"


def _keys(evidence: Evidence, site: str, kind: str) -> Iterable[tuple[str, str]]:
    """(rest of the name, key) of every key of the site, wherever its shard may be; not of what a
    rebuild has counted beside them, which is there again when Redis is turned back."""
    for raw in evidence.store.scan_iter(f"{{s??}}:{site}:*", count=1_000, _type=kind):
        key = raw.decode()
        yield key.split(f"}}:{site}:", 1)[1], key


def _key(evidence: Evidence, site: str, rest: str) -> str:
    return f"{{s{crc32(site.encode()) % evidence.shards:02d}}}:{site}:{rest}"


def _numbers(store: "redis.Redis", key: str) -> dict[str, int]:
    counts: Any = store.hgetall(key)
    return {
        field.decode(): int(count) for field, count in counts.items() if not field.startswith(b"@")
    }
