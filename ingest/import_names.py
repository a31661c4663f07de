"""The names that other trackers have for browsers, systems, devices and places, in the words of our
enrichment. Pure.

What is in no table stays as it is: a browser's name is its name. A version is cut to two numbers,
as `enrichment.agent` has it.
"""

import re
import tomllib
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from ingest.enrichment.agent import MAX_NAME, UNKNOWN, Agent, read_agent, short_version
from ingest.enrichment.client_hints import NO_HINTS

# By the name in lower case. Umami's are those of detect-browser, GoatCounter's those of gadget.
_BROWSERS = {
    "android": "Android",
    "browser": "",
    "chrome": "Chrome",
    "chromium-webview": "Chrome WebView",
    "crios": "Chrome",
    "edge": "Edge",
    "edge-chromium": "Edge",
    "edge-ios": "Edge",
    "facebook": "Facebook",
    "firefox": "Firefox",
    "fxios": "Firefox",
    "ie": "IE",
    "instagram": "Instagram",
    "internet explorer": "IE",
    "ios": "Safari",
    "ios-webview": "Safari UI/WKWebView",
    "kakaotalk": "KakaoTalk",
    "miui": "MiuiBrowser",
    "opera": "Opera",
    "opera-mini": "Opera Mini",
    "phantomjs": "PhantomJS",
    "safari": "Safari",
    "samsung": "Samsung Internet",
    "searchbot": "",
    "silk": "Amazon Silk",
    "unknown": "",
    "vivaldi": "Vivaldi",
    "yandexbrowser": "Yandex Browser",
}
_SYSTEMS = {
    "android os": "Android",
    "chromeos": "Chrome OS",
    "ios": "iOS",
    "ipados": "iOS",
    "mac os": "macOS",
    "mac os x": "macOS",
    "open bsd": "OpenBSD",
    "sun os": "Solaris",
    "sunos": "Solaris",
    "unknown": "",
    "windows mobile": "Windows Phone",
}
_DEVICES = {"desktop": "desktop", "laptop": "desktop", "mobile": "mobile", "tablet": "tablet"}
# Windows is told apart by words, too.
_WINDOWS = re.compile(r"Windows (?!Phone|Mobile|CE\b)(?P<version>\S.*)")
_NUMBERED = re.compile(r"(?P<name>.+?) (?P<version>\d[\w.]*)")
_COUNTRY = re.compile(r"[A-Z]{2}")
_REGIONS = Path(__file__).parent / "import_regions.toml"


class Named(NamedTuple):
    """Empty: it is not told."""

    name: str = ""
    version: str = ""


class Located(NamedTuple):
    """As `enrichment.place.Place`. Empty: it is not told."""

    country: str = ""
    region: str = ""


# An export has some hundreds of each.
@lru_cache(maxsize=4_096)
def browser_of(text: str) -> Named:
    """Of “Firefox 121”, or Umami's “edge-chromium”; a whole user agent names none."""
    return Named() if "/" in text else _named(_split(text.strip()), _BROWSERS)


@lru_cache(maxsize=4_096)
def system_of(text: str) -> Named:
    """Of “macOS 10.15”, or Umami's “Windows 10”."""
    text = text.strip()
    if windows := _WINDOWS.fullmatch(text):
        version = windows["version"]
        # ua-parser takes the two for one.
        return Named("Windows", "XP" if version == "Server 2003" else version[:MAX_NAME])
    return _named(_split(text), _SYSTEMS)


def device_of(text: str) -> str:
    """Empty for what is no device."""
    return _DEVICES.get(text.strip().lower(), "")


@lru_cache(maxsize=8_192)
def place_of(country: str, region: str) -> Located:
    """By their ISO 3166 codes: “US” with “TX” or “US-TX”."""
    country = country.strip().upper()
    if not _COUNTRY.fullmatch(country):
        return Located()
    code = region.strip().upper().removeprefix(f"{country}-")
    return Located(country, _regions().get(country, {}).get(code, ""))


def agent_of(text: str) -> Agent:
    """Of a whole user agent, as old exports have it; all None where it is none."""
    return read_agent(text, NO_HINTS) if text.startswith(("Mozilla/", "Opera/")) else UNKNOWN


@cache
def _regions() -> dict[str, dict[str, str]]:
    return tomllib.loads(_REGIONS.read_text())


def _split(text: str) -> Named:
    numbered = _NUMBERED.fullmatch(text)
    return Named(numbered["name"], _short(numbered["version"])) if numbered else Named(text)


def _short(version: str) -> str:
    major, _, rest = version.partition(".")
    return short_version(major, rest.partition(".")[0]) or ""


def _named(told: Named, names: dict[str, str]) -> Named:
    name = names.get(told.name.lower(), told.name)[:MAX_NAME]
    return Named(name, told.version) if name else Named()
