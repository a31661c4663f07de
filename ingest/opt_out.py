"""Whether a browser asks not to be tracked. Pure.

The headers are told by the browser with every request, so that the site's setting holds for
whatever script or image sent it: Do Not Track (`DNT`) and Global Privacy Control (`Sec-GPC`).
"""


def opt_out(do_not_track: str, global_privacy_control: str) -> str | None:
    """The name of the header that asks; None if neither does."""
    if global_privacy_control.strip() == "1":
        return "Sec-GPC"
    return "DNT" if do_not_track.strip() == "1" else None
