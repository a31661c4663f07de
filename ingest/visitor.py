"""Who visits, without keeping who it is. Pure.

A visitor is 64 bits of a keyed BLAKE2b hash, as 16 hexadecimal digits. Nobody can try addresses
against the hashes without the key. That of a browser is made with the day's salt: once the salt is
destroyed, nobody can with it either (PRIVACY.md).
"""

from collections.abc import Callable
from datetime import date
from hashlib import blake2b

# The salt of a day, 32 bytes; it must not wait. Raises `DatabaseError` where it is not known yet.
SaltOf = Callable[[date], bytes]


class VisitorHash:
    """Hashes with a key derived from `secret`, and for browsers with the salt of the day."""

    def __init__(self, secret: str, salt_of: SaltOf) -> None:
        self._key = blake2b(secret.encode(), digest_size=32, person=b"visitor").digest()
        self._salt_of = salt_of

    def of_user(self, site: str, user_id: str) -> str:
        """The same for a user of a site for ever."""
        return _hash(self._key, f"user\0{site}\0{user_id}")

    def of_browser(self, site: str, day: date, address: str, agent: str) -> str:
        """The same for an address and user agent for one day; unlinkable between days."""
        text = f"browser\0{site}\0{address}\0{agent}"
        return _hash(self._key + self._salt_of(day), text)


def _hash(key: bytes, text: str) -> str:
    # Its parts are told apart by what none of them holds: addresses and site ids have no control
    # characters, and what a sender chooses freely comes last. BLAKE2 with a key before the text is
    # as good as its keyed mode, and most texts fit into the same block.
    return blake2b(key + text.encode(errors="replace"), digest_size=8).hexdigest()
