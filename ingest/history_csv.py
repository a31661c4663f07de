"""Reads what other trackers export as CSV: GoatCounter, Plausible, Umami. Pure.

Each reader turns a row into events of the track API, with ids that are the same whenever the file
is read. What these programs had found out of a visitor's user agent and address, country, browser
and system, is in an event's `known` (`ingest.known`), which only imports may send.

The formats: https://www.goatcounter.com/help/export, https://plausible.io/docs/csv-import,
https://github.com/umami-software/umami (website_event.csv of an export)
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, ClassVar

from ingest.access_log import EventIds, MalformedLine
from ingest.enrichment.agent import Agent
from ingest.import_names import agent_of, browser_of, device_of, place_of, system_of

Row = Mapping[str, str]
Event = dict[str, Any]
NO_PAGE_VIEWS = "without page views"
BOT, OTHER_TYPE = "of a bot", "neither page view nor event"
_UMAMI_PAGE_VIEW, _UMAMI_EVENT = "1", "2"
_DAY_MS = 86_400_000
_MOST_DIGITS = 10


class SkippedRow(ValueError):
    """Raised for a row that is no page view; says why."""


class GoatCounterRows:
    """The number before `Path` is the version of the format."""

    columns: ClassVar[tuple[str, ...]] = (
        "Path",
        "Event",
        "Session",
        "Bot",
        "Referrer",
        "Referrer scheme",
        "Date",
    )

    def __init__(self, site: str) -> None:
        self._ids = EventIds(site)

    def __call__(self, row: Row) -> Iterator[Event]:
        event_id = self._ids.of("\t".join(row.values()))
        if row["Bot"] not in ("", "0"):
            raise SkippedRow(BOT)
        is_event = row["Event"].lower() in ("true", "1")
        yield _without_empty(
            event_id=event_id,
            # One without a session is a visitor of his own.
            user_id=row["Session"] or event_id,
            name=row["Path"] if is_event else None,
            page_url="/" if is_event else _path(row["Path"]),
            timestamp=_time("Date", row["Date"]),
            title=row.get("Title"),
            # Of other schemes it is a campaign or a name that GoatCounter made.
            referrer=f"https://{row['Referrer']}" if row["Referrer scheme"] == "h" else None,
            screen=_screen(row.get("Screen size", "")),
            known=self._known(row),
        )

    @staticmethod
    def _known(row: Row) -> Event:
        """The first version of the format has the user agent as `Browser`, the second one for a
        while as `UserAgent` too."""
        country, _, region = row.get("Location", "").partition("-")
        place = place_of(country, region)
        browser = row.get("Browser", "")
        agent = agent_of(row.get("UserAgent") or row.get("User-Agent") or browser)
        if agent.browser is None:
            name, system = browser_of(browser), system_of(row.get("System", ""))
            agent = Agent(name.name, name.version, system.name, system.version)
        return _without_empty(**place._asdict(), **agent._asdict())


class PlausibleRows:
    """Of `imported_pages_….csv`, which has the page views and visitors of each page and day: as
    many events, by as many visitors, spread evenly over the day at UTC. The file does not say who
    saw several pages, so the visitors of a day are those of its pages together."""

    columns: ClassVar[tuple[str, ...]] = ("date", "page", "visitors", "pageviews")

    def __init__(self, site: str) -> None:
        self._ids = EventIds(site)

    def __call__(self, row: Row) -> Iterator[Event]:
        views = _number("pageviews", row["pageviews"])
        visitors = max(1, _number("visitors", row["visitors"]))
        if views == 0:
            raise SkippedRow(NO_PAGE_VIEWS)
        path, host = _path(row["page"]), row.get("hostname", "")
        key = f"plausible\t{row['date']}\t{host}\t{path}"
        midnight = _time("date", f"{row['date']}T00:00:00+00:00")
        for number in range(views):
            yield _without_empty(
                event_id=self._ids.of(f"{key}\t{number}"),
                user_id=blake2b(f"{key}\t{number % visitors}".encode()).hexdigest()[:32],
                page_url=f"https://{host}{path}" if host else path,
                timestamp=midnight + number * _DAY_MS // views,
            )


class UmamiRows:
    """Of `website_event.csv`. Its times are UTC."""

    columns: ClassVar[tuple[str, ...]] = (
        "event_id",
        "session_id",
        "url_path",
        "event_type",
        "created_at",
    )

    def __init__(self, site: str) -> None:
        """Umami's own ids are the same for ever."""

    def __call__(self, row: Row) -> Iterator[Event]:
        if row["event_type"] not in (_UMAMI_PAGE_VIEW, _UMAMI_EVENT):
            raise SkippedRow(OTHER_TYPE)
        for column in ("event_id", "session_id"):
            if not row[column]:
                raise MalformedLine(f"{column} is empty; export the events again")
        path = _path(row["url_path"]) + _query(row.get("url_query", ""))
        host, referrer = row.get("hostname", ""), row.get("referrer_domain", "")
        yield _without_empty(
            event_id=f"umami-{row['event_id']}",
            user_id=row["session_id"],
            name=row.get("event_name") if row["event_type"] == _UMAMI_EVENT else None,
            page_url=f"https://{host}{path}" if host else path,
            timestamp=_time("created_at", row["created_at"]),
            title=row.get("page_title"),
            referrer=f"https://{referrer}{row.get('referrer_path', '')}" if referrer else None,
            screen=row.get("screen"),
            language=row.get("language"),
            known=self._known(row),
        )

    @staticmethod
    def _known(row: Row) -> Event:
        """Of browsers it has no versions."""
        place = place_of(row.get("country", ""), row.get("region") or row.get("subdivision1", ""))
        system = system_of(row.get("os", ""))
        return _without_empty(
            **place._asdict(),
            browser=browser_of(row.get("browser", "")).name,
            os=system.name,
            os_version=system.version,
            device=device_of(row.get("device", "")),
        )


def _without_empty(**fields: Any) -> Event:
    return {name: value for name, value in fields.items() if value not in (None, "", {})}


def _path(text: str) -> str:
    return text if text.startswith("/") else f"/{text}"


def _query(text: str) -> str:
    return f"?{text.removeprefix('?')}" if text else ""


def _time(column: str, text: str) -> int:
    """Unix milliseconds; UTC where no offset is given."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return round(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise MalformedLine(
            f"{column} is {text[:40]!r}, which is no time such as 2026-11-23 08:15:00"
        ) from None


def _number(column: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < _MOST_DIGITS):
        raise MalformedLine(f"{column} is {text[:40]!r}, which is no number of events")
    return int(text)


def _screen(text: str) -> str | None:
    """GoatCounter has had `1920,1080,2` and `1920x1080`, and a width alone."""
    width, _, rest = text.replace(",", "x").partition("x")
    height = rest.partition("x")[0]
    return f"{width}x{height}" if width.isdecimal() and height.isdecimal() else None
