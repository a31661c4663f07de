"""`python -m bench.count.plain EVENTS`: the plain loop, decoding and counting into dictionaries.

Redis learns how far it is, and at the end, when the clock has stopped, the numbers.
"""

import sys

from bench.count.reading import batches
from bench.peers.views import Paths, RedisViews, SiteMinute, decode


def main(events: int) -> None:
    redis = RedisViews()
    totals: dict[SiteMinute, Paths] = {}
    read = 0
    for messages in batches(events):
        for message in messages:
            view = decode(message.value() or b"")
            paths = totals.setdefault((view.site, view.ts // 60_000), {})
            paths[view.path] = paths.get(view.path, 0) + 1
        read += len(messages)
        redis.tell(read)
    redis.put(totals, events=0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
