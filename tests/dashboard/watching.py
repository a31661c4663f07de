"""What people do who watch a site in a browser."""

from playwright.sync_api import Page, expect

from tests.stack import RunningStack

SECOND = 1_000


def log_in(page: Page, stack: RunningStack) -> None:
    page.get_by_label("User name").fill(stack.credentials["admin_user"])
    page.get_by_label("Password").fill(stack.credentials["admin_password"])
    page.get_by_role("button", name="Log in").click()


def open_site(page: Page, site: str, query: str = "") -> None:
    page.goto(f"/sites/{site}/{query}")
    expect(page.locator("#trust-word")).to_have_text("live", timeout=15 * SECOND)


def add_site(page: Page, site: str) -> None:
    page.goto("/admin/ingest/site/add/")
    page.locator("[name=public_id]").fill(site)
    page.locator("[name=_save]").click()
    expect(page.get_by_text("was added successfully")).to_be_visible()
