"""`make bench-ingest`"""

import argparse

from bench import cores, results
from bench.ingest.doors import DOORS, FAST
from bench.ingest.report import memory_report, report
from bench.ingest.runs import Runs
from bench.rounds import interleave


def main() -> None:
    options = _options()
    cores.require_two_cores()
    cores.run_with_others()
    runs = Runs(options.seconds)
    try:
        runs.start()
        if options.memory_minutes:
            text = memory_report(FAST, runs.memory(FAST, options.memory_minutes))
            results.write_section("ingest-memory", text)
            print(text)
            return
        doors = [runs.tune(door) for door in DOORS if options.only in door.name]
        found = interleave(doors, options.rounds, runs.measure)
    finally:
        runs.stop()
    text = report(found, options.rounds, options.seconds)
    if not options.only:
        results.write_section("ingest", text)
    print(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-ingest")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=8, help="of each load")
    parser.add_argument("--only", default="", help="doors with this in their names; writes nothing")
    parser.add_argument("--memory-minutes", type=int, default=0,
                        help="instead: whether the gateway's memory grows in these")  # fmt: skip
    return parser.parse_args()


if __name__ == "__main__":
    main()
