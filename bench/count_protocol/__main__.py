"""`make bench-count-protocol`"""

import argparse
from itertools import product

from bench import cores, results
from bench.count_protocol import LOGS, SIDES
from bench.count_protocol.report import report
from bench.count_protocol.servers import Servers
from bench.rounds import interleave


def main() -> None:
    options = _options()
    cores.require_two_cores()
    cores.run_with_others()
    servers = Servers(options.events)
    try:
        servers.start()
        found = interleave(
            list(product(LOGS, SIDES)), options.rounds, lambda pair: servers.count(*pair)
        )
    finally:
        servers.stop()
    text = report(found, options.events, options.rounds)
    results.write_section("count-protocol", text)
    print(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-count-protocol")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
