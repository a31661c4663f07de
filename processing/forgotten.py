"""What was forgotten at somebody's wish, and must not come back (SPEC.md §22). Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ingest.pageview import PageView

# Where a visitor could be named: all of them.
EVERYONE = ""


@dataclass(frozen=True)
class Forgotten:
    """`number` counts all forgettings there ever were. `sites`: site → visitor, or `EVERYONE` →
    Unix ms; what arrived before that is forgotten."""

    number: int = 0
    sites: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def hides(self, site: str | None, visitor: str | None, received: int | None) -> bool:
        """Whether an event of a visitor that arrived then is forgotten."""
        visitors = self.sites.get(site or "")
        if visitors is None or received is None:
            return False
        own, of_all = visitors.get(visitor or "", 0), visitors.get(EVERYONE, 0)
        return received < max(own, of_all)

    def __contains__(self, page_view: object) -> bool:
        return isinstance(page_view, PageView) and self.hides(
            page_view.site, page_view.visitor, page_view.received
        )


class ForgottenUpTo(Protocol):
    """Answers what is forgotten, as it is known; asked for a number that is not known yet, it
    looks again."""

    def __call__(self, number: int = 0, /) -> Forgotten: ...


_NOTHING = Forgotten()


def nothing_forgotten(number: int = 0, /) -> Forgotten:
    return _NOTHING


def fixed(forgotten: Forgotten) -> ForgottenUpTo:
    """For what is to be counted under one and the same rule from beginning to end."""

    def answer(number: int = 0, /) -> Forgotten:
        return forgotten

    return answer
