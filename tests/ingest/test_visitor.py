from datetime import date

from ingest.visitor import VisitorHash

DAY, NEXT = date(2026, 11, 24), date(2026, 11, 25)
SALTS = {DAY: b"a" * 32, NEXT: b"b" * 32}


def of_browser(visitors: VisitorHash, site: str = "s", day: date = DAY, agent: str = "x") -> str:
    return visitors.of_browser(site, day, "203.0.113.7", agent)


def test_a_browser_is_the_same_for_a_day_and_a_site_only() -> None:
    visitors = VisitorHash("secret", SALTS.__getitem__)
    assert of_browser(visitors) == of_browser(VisitorHash("secret", SALTS.__getitem__))
    assert len({
        of_browser(visitors),
        of_browser(visitors, site="t"),
        of_browser(visitors, day=NEXT),
        of_browser(visitors, agent="y"),
        of_browser(VisitorHash("other", SALTS.__getitem__)),
    }) == 5  # fmt: skip


def test_without_the_days_salt_nobody_can_make_the_hash_again() -> None:
    """Not even who has the key and every value that went in."""
    again = VisitorHash("secret", lambda day: b"c" * 32)
    assert of_browser(again) != of_browser(VisitorHash("secret", SALTS.__getitem__))


def test_a_user_is_the_same_for_ever_and_needs_no_salt() -> None:
    def none_left(day: date) -> bytes:
        raise AssertionError

    visitors = VisitorHash("secret", none_left)
    assert visitors.of_user("s", "u") == VisitorHash("secret", none_left).of_user("s", "u")
    assert visitors.of_user("s", "u") != visitors.of_user("t", "u")
    assert len(visitors.of_user("s", "\ud800")) == 16
