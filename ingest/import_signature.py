"""Who may import: whoever has the tracker's SECRET_KEY, which is where its settings are."""

from hashlib import sha256

from django.core.signing import BadSignature, TimestampSigner
from django.utils.crypto import constant_time_compare

HEADER = "X-Tracker-Import"
# Longer than clocks differ and a request takes. The same body again changes nothing: its events
# have ids.
MAX_AGE_S = 300
_SALT = "ingest.import"


def sign(body: bytes) -> str:
    """For the header `HEADER` of a request with this body, sent now."""
    return TimestampSigner(salt=_SALT).sign(sha256(body).hexdigest())


def is_signed(body: bytes, signature: str) -> bool:
    """Whether `signature` was made for this body, by who has the key, not long ago."""
    try:
        digest = TimestampSigner(salt=_SALT).unsign(signature, max_age=MAX_AGE_S)
    except BadSignature:
        return False
    return constant_time_compare(digest, sha256(body).hexdigest())
