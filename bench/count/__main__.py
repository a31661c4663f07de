"""`make bench-count`"""

import argparse
import sys

from bench import cores, results
from bench.count.catch_up import CatchUp
from bench.count.live import Live
from bench.count.report import Found, report
from bench.count.servers import Servers
from bench.count.subjects import LIVE_SUBJECTS, SUBJECTS
from bench.rounds import interleave


def main() -> None:
    options = _options()
    cores.require_two_cores()
    cores.run_with_others()
    found = _measure(options)
    text = report(found, options.events, options.rounds, options.seconds)
    if not (options.only or options.print):
        results.write_section("count", text)
    print(text)
    if wrong := found.wrong():
        sys.exit(f"Wrong numbers: {', '.join(subject.name for subject in wrong)}.")


def _measure(options: argparse.Namespace) -> Found:
    servers = Servers(options.events)
    subjects = [subject for subject in SUBJECTS if options.only in subject.name]
    live = [subject for subject in LIVE_SUBJECTS if options.only in subject.name]
    try:
        servers.start()
        return Found(
            interleave(subjects, options.rounds, CatchUp(servers).measure),
            interleave(live, options.rounds, Live(servers, options.seconds).measure),
        )
    finally:
        servers.stop()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-count")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--seconds", type=int, default=15, help="of steady traffic, for latencies")
    parser.add_argument(
        "--only", default="", help="subjects with this in their names; writes nothing"
    )
    parser.add_argument("--print", action="store_true", help="write nothing, print only")
    return parser.parse_args()


if __name__ == "__main__":
    main()
