"""What is measured: all steps together, and each by itself."""

import gc
import time
from collections.abc import Callable, Iterable

from bench.enrichment.visits import Visit
from bench.rounds import Measurement
from ingest.enrichment import agent, attribution, crawler, headless, internal, origin, path, screen
from ingest.enrichment.language import read_language
from ingest.enrichment.place import PlaceFinder
from ingest.enrichment.place_database import place_file
from ingest.enrichment.referrer_spam import read_spammers
from ingest.enrichment.steps import Enrichment
from ingest.enrichment.time_zone import read_time_zone

WARM, COLD = "all steps, everything met before", "all steps, everything new"
_RULES = "lower-case\n/user/*/edit -> /user/:id/edit"
_NETWORKS = "203.0.113.0/24\n198.51.100.0/24"

Step = Callable[[Visit], object]


class Sides:
    """Each takes the same visits; `visits` are gone through once before anything is measured."""

    def __init__(self, visits: list[Visit]) -> None:
        self._visits = visits
        self._places = PlaceFinder(place_file(""))
        self._enrichment = Enrichment(self._places, read_spammers(""))
        self.steps: dict[str, Step] = {
            WARM: self._all,
            "path, with rules": lambda v: path.normalise(_RULES, v.page.path, v.page.query),
            "what of the referrer is kept": lambda v: attribution.kept_referrer(
                v.request.referrer or ""
            ),
            "source and channel": lambda v: attribution.attribute(
                attribution.referrer_host(v.request.referrer or ""),
                v.page.hostname,
                *attribution.read_tag(v.page.utm, v.page.click),
            ),
            "browser, system, device": lambda v: agent.read_agent(v.sender.agent, v.sender.hints),
            "country and region": lambda v: self._places.find(v.sender.address),
            "crawler": lambda v: crawler.is_crawler(v.sender.agent),
            "data centre": lambda v: origin.find_origin(v.sender.address),
            "headless": lambda v: headless.is_headless(v.sender.agent, False),
            "internal": lambda v: internal.is_internal(v.sender.address, _NETWORKS, ""),
            "screen, language, time zone": lambda v: (
                screen.screen_class(v.request.screen or ""),
                read_language(v.request.language or ""),
                read_time_zone(v.request.time_zone or ""),
            ),
        }
        # The patterns of agents and crawlers are compiled by the first.
        self._enrichment.warm_up()

    def names(self) -> list[str]:
        return [*self.steps, COLD]

    def measure(self, side: str) -> Measurement:
        """µs an event, of CPU time."""
        if side == COLD:
            self._forget()
            return _timed(self._all, self._first_of_each())
        step = self.steps[side]
        for visit in self._visits:
            step(visit)
        return _timed(step, self._visits)

    def _all(self, visit: Visit) -> object:
        return self._enrichment.enrich(
            visit.request,
            self._enrichment.of_sender(visit.sender),
            "example.com",
            _RULES,
            _NETWORKS,
        )

    def _forget(self) -> None:
        """Whatever was remembered of visits; not the compiled patterns."""
        for remembering in (
            agent.remembered, crawler.remembered, origin.find_origin, self._places.find,
            internal.remembered, headless.remembered, attribution.attribute, path.remembered,
            screen.screen_class, read_language, self._enrichment.page_again,
            self._enrichment.referrer_again, self._enrichment.program_again,
            self._enrichment.where_again, self._enrichment.sender_again,
        ):  # fmt: skip
            remembering.cache_clear()

    def _first_of_each(self) -> list[Visit]:
        """Visits of which nothing is repeated but the page: as many as there are agents."""
        agents, addresses, chosen = set(), set(), []
        for visit in self._visits:
            sender = visit.sender
            if sender.agent not in agents and sender.address not in addresses:
                agents.add(sender.agent)
                addresses.add(sender.address)
                chosen.append(visit)
        return chosen


def _timed(step: Step, visits: Iterable[Visit]) -> Measurement:
    gc.disable()
    count = 0
    began = time.process_time()
    for visit in visits:
        step(visit)
        count += 1
    spent = time.process_time() - began
    gc.enable()
    return {"µs an event": spent / count * 1e6}
