"""The tracker script as browsers get it: made small, gzipped, with the hash that vouches for it.

Its sources are `ingest/js/t.js`, which every site loads, and `ingest/js/options.js`, which t.js
loads where a site asks for more. SPEC.md §16 says what they send.
"""

import gzip
from base64 import b64encode
from functools import cache
from hashlib import sha384
from pathlib import Path
from typing import NamedTuple

import rjsmin

NAMES = ("t.js", "options.js")
_FOLDER = Path(__file__).parent / "js"
# Names that stand for a setting in the sources.
_RETRY_MINUTES = "RETRY_MINUTES"


class TrackerScript(NamedTuple):
    """One of the files: its text as UTF-8, plain and gzipped, and the text's hash as the
    `integrity` attribute of HTML has it."""

    text: bytes
    gzipped: bytes
    integrity: str

    @property
    def version(self) -> str:
        """Twelve characters that change with the text; letters, digits, - and _."""
        return self.integrity[7:19].replace("+", "-").replace("/", "_")


@cache
def tracker_script(name: str, duplicate_window_minutes: int) -> TrackerScript:
    """`name` is one of `NAMES`. The script stops to send an event again a minute before the
    tracker forgets its id, or halfway where ids are kept for a minute only."""
    minutes = max(duplicate_window_minutes - 1, duplicate_window_minutes / 2)
    source = (_FOLDER / name).read_text().replace(_RETRY_MINUTES, f"{minutes:g}")
    text = rjsmin.jsmin(source).encode()
    integrity = b64encode(sha384(text).digest()).decode()
    return TrackerScript(text, gzip.compress(text, 9, mtime=0), f"sha384-{integrity}")
