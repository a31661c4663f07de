"""Names of other trackers in the words of our enrichment."""

import tomllib
from pathlib import Path

import pytest

from ingest import import_names
from ingest.enrichment.agent import read_agent
from ingest.enrichment.client_hints import NO_HINTS
from ingest.enrichment.place_database import place_file
from ingest.import_names import Located, Named, browser_of, device_of, place_of, system_of

_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
_WINDOWS = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_WEBKIT} Chrome/120.0.0.0 Safari/537.36"
_PHONE = f"Mozilla/5.0 (Linux; Android 13; SM-G991B) {_WEBKIT}"
_APPLE = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
_IPHONE = f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) {_APPLE}"
_MAC = f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_APPLE}"


@pytest.mark.parametrize(
    ("told", "agent"),
    [
        ("chrome", _WINDOWS),
        ("Chrome 120", _WINDOWS),
        ("crios", f"{_IPHONE} CriOS/120.0.6099.119 Mobile/15E148 Safari/604.1"),
        ("chromium-webview", f"{_PHONE} Version/4.0 Chrome/120.0.0.0 Mobile Safari/537.36".replace(
            "SM-G991B", "SM-G991B; wv")),
        ("edge-chromium", f"{_WINDOWS} Edg/120.0.0.0"),
        ("edge-ios", f"{_IPHONE} Version/17.0 EdgiOS/120.0.2210.116 Mobile/15E148 Safari/605.1.15"),
        ("edge", f"{_WINDOWS} Edge/18.17763"),
        ("opera", f"{_WINDOWS} OPR/106.0.0.0"),
        ("opera-mini", "Opera/9.80 (Android; Opera Mini/36.2/119.132; U; id) Presto/2.12.423 "
         "Version/12.16"),
        ("firefox", "Mozilla/5.0 (X11; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0"),
        ("fxios", f"{_IPHONE} FxiOS/121.0 Mobile/15E148 Safari/605.1.15"),
        ("ie", "Mozilla/5.0 (Windows NT 6.1; Trident/7.0; rv:11.0) like Gecko"),
        ("Internet Explorer 11", "Mozilla/5.0 (Windows NT 6.1; Trident/7.0; rv:11.0) like Gecko"),
        ("safari", f"{_MAC} Version/17.1 Safari/605.1.15"),
        ("Safari 17.1", f"{_MAC} Version/17.1 Safari/605.1.15"),
        ("ios", f"{_IPHONE} Version/17.1 Mobile/15E148 Safari/604.1"),
        ("ios-webview", f"{_IPHONE} Mobile/15E148"),
        ("instagram", f"{_IPHONE} Mobile/15E148 Instagram 312.0.0.0"),
        ("facebook", f"{_IPHONE} Mobile/15E148 [FBAN/FBIOS;FBAV/440.0.0.0]"),
        ("samsung", f"{_PHONE} SamsungBrowser/23.0 Chrome/115.0.0.0 Mobile Safari/537.36"),
        ("silk", f"Mozilla/5.0 (Linux; Android 11; KFTRWI) {_WEBKIT} Silk/120.1 like Chrome/120.0 "
         "Safari/537.36"),
        ("vivaldi", f"{_WINDOWS} Vivaldi/6.5"),
        ("android", "Mozilla/5.0 (Linux; U; Android 4.0.3; de-de) AppleWebKit/534.30 (KHTML, like "
         "Gecko) Version/4.0 Mobile Safari/534.30"),
        ("phantomjs", "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/534.34 (KHTML, like Gecko) "
         "PhantomJS/1.9.0 Safari/534.34"),
    ],
)  # fmt: skip
def test_browsers_have_the_names_that_enrichment_has(told: str, agent: str) -> None:
    found, named = read_agent(agent, NO_HINTS), browser_of(told)
    assert named.name == found.browser
    assert named.version in ("", found.browser_version)


@pytest.mark.parametrize(
    ("told", "platform"),
    [
        ("Windows 10", "Windows NT 10.0; Win64; x64"),
        ("Windows 8.1", "Windows NT 6.3"),
        ("Windows 7", "Windows NT 6.1"),
        ("Windows Vista", "Windows NT 6.0"),
        ("Windows XP", "Windows NT 5.1"),
        ("Windows Server 2003", "Windows NT 5.2"),
        ("Windows 2000", "Windows NT 5.0"),
        ("Windows", "Windows NT 10.0; Win64; x64"),
        ("Mac OS", "Macintosh; Intel Mac OS X 10_15_7"),
        ("macOS 10.15", "Macintosh; Intel Mac OS X 10_15_7"),
        ("iOS", "iPhone; CPU iPhone OS 17_1 like Mac OS X"),
        ("iOS 17.1", "iPhone; CPU iPhone OS 17_1 like Mac OS X"),
        ("iOS 17.0", "iPhone; CPU iPhone OS 17_0 like Mac OS X"),
        ("Android OS", "Linux; Android 13; SM-G991B"),
        ("Android 13", "Linux; Android 13; SM-G991B"),
        ("Linux", "X11; Linux x86_64"),
        ("Chrome OS", "X11; CrOS x86_64 14541.0.0"),
        ("Open BSD", "X11; OpenBSD amd64"),
        ("FreeBSD", "X11; FreeBSD amd64"),
        ("Sun OS", "X11; SunOS i86pc"),
        ("Windows Phone 10", "Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia 950"),
    ],
)
def test_systems_have_the_names_that_enrichment_has(told: str, platform: str) -> None:
    found = read_agent(f"Mozilla/5.0 ({platform}) {_WEBKIT} Chrome/49.0 Safari/537.36", NO_HINTS)
    named = system_of(told)
    assert named.name == found.os
    assert named.version in ("", found.os_version)


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ("", Named()),
        ("Unknown", Named()),
        ("searchbot", Named()),
        ("beaker", Named("beaker")),
        ("Firefox 121.0.3", Named("Firefox", "121")),
        ("Firefox 121.2.3", Named("Firefox", "121.2")),
        (" Firefox  ", Named("Firefox")),
        ("Some Browser 4", Named("Some Browser", "4")),
        ("x" * 99, Named("x" * 50)),
        ("Mozilla/5.0 (X11)", Named()),
    ],
)
def test_other_browsers_keep_their_names(told: str, named: Named) -> None:
    assert browser_of(told) == named


@pytest.mark.parametrize(
    ("told", "device"),
    [("desktop", "desktop"), ("laptop", "desktop"), ("mobile", "mobile"), ("tablet", "tablet"),
     ("Tablet ", "tablet"), ("watch", ""), ("", "")],
)  # fmt: skip
def test_a_laptop_is_a_desktop(told: str, device: str) -> None:
    assert device_of(told) == device


@pytest.mark.parametrize(
    ("country", "region", "place"),
    [
        ("DE", "", Located("DE")),
        ("de", "BY", Located("DE", "Bavaria")),
        ("US", "US-TX", Located("US", "Texas")),
        ("PL", "02", Located("PL", "Lower Silesia")),
        ("GB", "ENG", Located("GB", "England")),
        ("US", "XX", Located("US")),
        ("JP", "13", Located("JP")),
        ("USA", "TX", Located()),
        ("", "US-TX", Located()),
        ("(unknown)", "", Located()),
    ],
)
def test_places_are_told_by_their_codes(country: str, region: str, place: Located) -> None:
    assert place_of(country, region) == place


def test_regions_have_the_names_of_the_place_database() -> None:
    """They are texts in it, with a length before them."""
    file = place_file("")
    assert file is not None
    content = Path(file).read_bytes()
    regions = tomllib.loads(
        (Path(import_names.__file__).parent / "import_regions.toml").read_text()
    )
    names = {name for country in regions.values() for name in country.values()}
    assert [name for name in names if _as_text(name) not in content] == []


def _as_text(name: str) -> bytes:
    """As MaxMind's format has it."""
    text = name.encode()
    length = len(text)
    head = bytes([0x40 | length]) if length < 29 else bytes([0x5D, length - 29])
    return head + text
