"""Debian's Chromium, driven by Playwright."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
# What a page is to run first: Playwright steers every browser, and they tell it.
NOT_STEERED = "Object.defineProperty(Navigator.prototype, 'webdriver', {get: () => false})"
_SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        reason = "Chromium is not installed (Debian: chromium)."
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_SWITCHES)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def keeping_pages(browser: Browser) -> Iterator[Browser]:
    """Another Chromium that shows pages from memory when it goes back, as people's do;
    Playwright switches that off."""
    other = browser.browser_type.launch(
        executable_path=CHROMIUM,
        args=_SWITCHES,
        ignore_default_args=["--disable-back-forward-cache"],
    )
    try:
        yield other
    finally:
        other.close()
