"""Browser, operating system and device, from a user agent and client hints. Pure.

ua-parser's patterns in its Rust core: 34 µs an agent that is new (62 with its device patterns,
which tell models that nobody asks for). Its time is linear in the agent's length.
"""

import re
from functools import cache, lru_cache
from typing import NamedTuple

from ua_parser import OS, Domain, UserAgent
from ua_parser.loaders import load_builtins
from ua_parser.regex import Resolver

from ingest.enrichment.client_hints import ClientHints

# Longer ones are no browser's.
MAX_AGENT = 512
MAX_NAME = 50
_WANTED = Domain.USER_AGENT | Domain.OS
_form = re.compile(r"\bMobile\b|\biOS$")
_OS_NAMES = {"Mac OS X": "macOS", "Chromium OS": "Chrome OS"}

_television = re.compile(r"TV\b|BRAVIA|Roku|CrKey|AFT[A-Z]")
_console = re.compile(r"PlayStation|Xbox|Nintendo")
_tablet = re.compile(r"iPad|Tablet|Kindle|Silk/")
_mobile = re.compile(r"Mobi|iPhone|iPod|Windows Phone|Opera Mini")


class Agent(NamedTuple):
    """Versions are “131” or “18.1”; `device` is desktop, mobile, tablet, tv or console."""

    browser: str | None = None
    browser_version: str | None = None
    os: str | None = None
    os_version: str | None = None
    device: str | None = None


UNKNOWN = Agent()


@cache
def _resolver() -> Resolver:
    agents, systems, _ = load_builtins()
    return Resolver((agents, systems, []))


def read_agent(agent: str, hints: ClientHints) -> Agent:
    """All of it None where `agent` is none that is known."""
    return remembered(agent[:MAX_AGENT], hints)


# A few hundred agents are most of the traffic. Bounded: 8,192 of at most 2 kB.
@lru_cache(maxsize=8_192)
def remembered(agent: str, hints: ClientHints) -> Agent:
    parsed = _resolver()(agent, _WANTED)
    browser, browser_version = _browser(parsed.user_agent, hints)
    if browser is None:
        return UNKNOWN
    os, os_version = _os(parsed.os, hints)
    return Agent(browser, browser_version, os, os_version, _device(agent, os, hints))


def _browser(parsed: UserAgent | None, hints: ClientHints) -> tuple[str | None, str | None]:
    hinted = hints.browser()
    if hinted is not None:
        return hinted[0][:MAX_NAME], hinted[1]
    if parsed is None:
        return None, None
    name = " ".join(_form.sub(" ", parsed.family).split()) or parsed.family
    return name[:MAX_NAME], short_version(parsed.major, parsed.minor)


def _os(parsed: OS | None, hints: ClientHints) -> tuple[str | None, str | None]:
    if hints.is_windows_11:
        return "Windows", "11"
    if parsed is None:
        return hints.platform_name[:MAX_NAME] or None, None
    name = _OS_NAMES.get(parsed.family, parsed.family)
    return name[:MAX_NAME], short_version(parsed.major, parsed.minor)


def short_version(major: str | None, minor: str | None) -> str | None:
    """“131” or “18.1”; None where there is none."""
    if not major:
        return None
    text = f"{major}.{minor}" if minor and minor != "0" else major
    return text[:MAX_NAME]


def _device(agent: str, os: str | None, hints: ClientHints) -> str | None:
    if _television.search(agent):
        return "tv"
    if _console.search(agent):
        return "console"
    if _tablet.search(agent):
        return "tablet"
    if hints.is_mobile or _mobile.search(agent):
        return "mobile"
    # Android's browsers say “Mobile” on telephones only.
    if os == "Android":
        return "tablet"
    return "desktop" if os else None
