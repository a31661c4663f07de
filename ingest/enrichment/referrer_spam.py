"""Referrers that only want to be seen in statistics. Pure.

No package on PyPI has a list. `referrer_spam.txt` has the names that were seen most; the setting
REFERRER_SPAM_FILE takes the place of it, one domain a line: Matomo's list of 2,300, in the public
domain, has this form (https://github.com/matomo-org/referrer-spam-list).
"""

from pathlib import Path

_OURS = Path(__file__).with_suffix(".txt")


def read_spammers(file: str) -> frozenset[str]:
    """`file` is empty for our own list. Raises `OSError`, `UnicodeDecodeError`."""
    lines = (Path(file) if file else _OURS).read_text(encoding="utf-8").splitlines()
    words = (line.partition("#")[0].strip().lower() for line in lines)
    return frozenset(word for word in words if word)


def is_spammer(host: str, spammers: frozenset[str]) -> bool:
    """Whether `host`, in lower case, or a domain that it is below of is on the list."""
    while host:
        if host in spammers:
            return True
        _, _, host = host.partition(".")
    return False
