"""Who visits, without keeping who it is. Pure.

A visitor is 64 bits of a keyed BLAKE2b hash, as 16 hexadecimal digits. The key never
leaves the server, so that nobody can try addresses against the hashes without it.
"""

from datetime import date
from hashlib import blake2b


class VisitorHash:
    """Hashes with a key derived from `secret`."""

    def __init__(self, secret: str) -> None:
        self._key = blake2b(secret.encode(), digest_size=32, person=b"visitor").digest()

    def of_user(self, site: str, user_id: str) -> str:
        """The same for a user of a site for ever."""
        return self._hash("user", site, user_id)

    def of_browser(self, site: str, day: date, address: str, agent: str) -> str:
        """The same for an address and user agent for one day; unlinkable between days."""
        return self._hash("browser", site, day.isoformat(), address, agent)

    def _hash(self, *parts: str) -> str:
        # A separator that no part holds: addresses, site ids and dates have no control
        # characters, and what a sender chooses freely comes last.
        text = "\0".join(parts)
        return blake2b(text.encode(errors="replace"), digest_size=8, key=self._key).hexdigest()
