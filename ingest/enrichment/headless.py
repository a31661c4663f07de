"""Browsers that a program steers. Pure."""

import re
from functools import lru_cache

from ingest.enrichment.agent import MAX_AGENT

# What they call themselves unless they are told not to.
_name = re.compile("HeadlessChrome|PhantomJS|SlimerJS|Puppeteer|Playwright|Selenium|Cypress/")


def is_headless(agent: str, said_so: bool) -> bool:
    """`said_so`: the page's script saw it, as by `navigator.webdriver`."""
    return said_so or remembered(agent[:MAX_AGENT])


@lru_cache(maxsize=8_192)
def remembered(agent: str) -> bool:
    return _name.search(agent) is not None
