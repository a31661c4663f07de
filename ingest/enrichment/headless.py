"""Browsers that a program steers. Pure."""

# What they call themselves unless they are told not to.
_NAMES = (
    "HeadlessChrome",
    "PhantomJS",
    "SlimerJS",
    "Puppeteer",
    "Playwright",
    "Selenium",
    "Cypress/",
)


def is_headless(agent: str, said_so: bool) -> bool:
    """`said_so`: the page's script saw it, as by `navigator.webdriver`."""
    return said_so or any(name in agent for name in _NAMES)
