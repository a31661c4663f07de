"""What Chromium says about itself in headers of their own. Pure.

https://wicg.github.io/ua-client-hints/; the first three come with every request over https.
"""

import re
from typing import NamedTuple

_MAX_LENGTH = 200
_brand = re.compile(r'"((?:[^"\\]|\\.)*)"\s*;\s*v="(\d{1,6})')
# The engine and the deliberately nonsensical brand (“Not?A_Brand”) name no browser.
_no_browser = re.compile(r"Chromium|.*Not.*Brand.*")
_NAMES = {"Google Chrome": "Chrome", "Microsoft Edge": "Edge", "YaBrowser": "Yandex Browser"}


class ClientHints(NamedTuple):
    """Sec-CH-UA, Sec-CH-UA-Mobile, Sec-CH-UA-Platform and Sec-CH-UA-Platform-Version as they
    came, cut where they are long; empty where there was none."""

    brands: str = ""
    mobile: str = ""
    platform: str = ""
    platform_version: str = ""

    @property
    def is_mobile(self) -> bool:
        return self.mobile == "?1"

    @property
    def platform_name(self) -> str:
        return self.platform.strip().strip('"')

    def browser(self) -> tuple[str, str] | None:
        """Name and major version of the browser; None where only its engine is named."""
        found = [b for b in _brand.findall(self.brands) if not _no_browser.fullmatch(b[0])]
        return (_NAMES.get(found[0][0], found[0][0]), found[0][1]) if found else None

    @property
    def is_windows_11(self) -> bool:
        """https://learn.microsoft.com/microsoft-edge/web-platform/how-to-detect-win11"""
        major = self.platform_version.strip('" ').partition(".")[0]
        return self.platform_name == "Windows" and major.isdecimal() and int(major) >= 13


NO_HINTS = ClientHints()


def read_hints(brands: str, mobile: str, platform: str, platform_version: str) -> ClientHints:
    if not (brands or platform):
        return NO_HINTS
    return ClientHints(brands[:_MAX_LENGTH], mobile[:2], platform[:40], platform_version[:20])
