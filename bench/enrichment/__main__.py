"""`make bench-enrichment`"""

import argparse
import os

from bench import cores, results
from bench.enrichment.report import report
from bench.enrichment.sides import Sides
from bench.enrichment.visits import visits
from bench.rounds import interleave


def main() -> None:
    options = _options()
    cores.require_two_cores()
    os.sched_setaffinity(0, {cores.MEASURED})
    sides = Sides(visits(options.events))
    found = interleave(sides.names(), options.rounds, sides.measure)
    text = report(found, options.events, options.rounds)
    if not options.dry:
        results.write_section("enrichment", text)
    print(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-enrichment")
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dry", action="store_true", help="write nothing")
    return parser.parse_args()


if __name__ == "__main__":
    main()
