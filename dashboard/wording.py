"""Numbers as people read them; `format.js` writes those that move in the same way. Pure."""


def exact(number: float | None) -> str:
    return "" if number is None else f"{number:,}"


def compact(number: int | None) -> str:
    """1,234 up to 9,999, then 12.3k."""
    if number is None:
        return "—"
    if number < 10_000:
        return f"{number:,}"
    for size, unit in ((10**3, "k"), (10**6, "M"), (10**9, "B")):
        # 999,950 and more would be written as 1000.0k.
        if number < size * 999.95 or unit == "B":
            break
    return f"{number / size:.1f}{unit}"


def duration(seconds: float | None) -> str:
    """2m 14s."""
    if seconds is None:
        return "—"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60}m {whole % 60}s"
    return f"{whole // 3_600}h {whole // 60 % 60}m"


def percent(number: float | None) -> str:
    """Without decimals; of what is there, but less than a half, “<1%”."""
    if number is None:
        return "—"
    return "<1%" if 0 < number < 0.5 else f"{number:.0f}%"


def ratio(number: float | None) -> str:
    return "—" if number is None else f"{number:.1f}"


def change(now: float | None, before: float | None) -> str:
    """How much more or less, in percent; empty where that says nothing."""
    if now is None or not before:
        return ""
    more = round(100 * (now - before) / before)
    if more >= 1_000:
        return f"×{now / before:,.0f}"
    return "±0%" if more == 0 else f"{more:+d}%".replace("-", "−")
