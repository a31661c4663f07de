"""Who sends visitors: a name and a kind for the host of a referrer. Pure.

The names are in `sources.toml`. Two packages on PyPI have such a list; one ends in 2016, the other
knows no AI assistant and fetches its list over the network.
"""

import tomllib
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Kind(StrEnum):
    """What a source is; the tables of `sources.toml`."""

    SEARCH = "search"
    AI = "ai"
    SOCIAL = "social"
    VIDEO = "video"
    SHOPPING = "shopping"
    EMAIL = "email"
    REFERRAL = "referral"


class Source(NamedTuple):
    """`name` for people; `kind` for the channel."""

    name: str
    kind: Kind


def find_source(hostname: str) -> Source:
    """The source behind a hostname in lower case; one that is not known is named by it."""
    hostname = hostname.removeprefix("www.")
    domains = _domains()
    labels = hostname.split(".")
    for start in range(len(labels)):
        found = domains.get(".".join(labels[start:])) or _of_any_country(labels[start:])
        if found is not None:
            return found
    return Source(hostname, Kind.REFERRAL)


def find_named(name: str) -> Source | None:
    """The source that a campaign calls by its name, `utm_source=google`, or by its domain."""
    found = _names().get(name.lower())
    if found is not None or "." not in name:
        return found
    source = find_source(name.lower())
    return source if source.name != name.lower() else None


def _of_any_country(labels: list[str]) -> Source | None:
    """google.de, google.co.uk, google.com.br are all “google.*”."""
    count = 2 if len(labels) > 2 and labels[-2] in ("co", "com") else 1
    return _domains().get(".".join([*labels[:-count], "*"]))


@cache
def _table() -> dict[str, dict[str, list[str]]]:
    with Path(__file__).with_name("sources.toml").open("rb") as file:
        return tomllib.load(file)


@cache
def _domains() -> dict[str, Source]:
    return {
        domain: Source(name, Kind(kind))
        for kind, sources in _table().items()
        for name, domains in sources.items()
        for domain in domains
    }


@cache
def _names() -> dict[str, Source]:
    """By name, and by what stands before a domain's last dot; the first kind counts."""
    names: dict[str, Source] = {}
    for domain, source in _domains().items():
        names.setdefault(source.name.lower(), source)
        name, _, rest = domain.partition(".")
        if "." not in rest and len(name) > 1 and name != "com":
            names.setdefault(name, source)
    return names
