"""`python -m bench.count.drain EVENTS`: what reading alone costs. Nothing is decoded."""

import sys

from bench.count.reading import batches
from bench.peers.views import RedisViews


def main(events: int) -> None:
    progress = RedisViews()
    read = 0
    for messages in batches(events):
        read += len(messages)
        progress.tell(read)


if __name__ == "__main__":
    main(int(sys.argv[1]))
