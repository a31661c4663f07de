"""Whatever is sent: no 5xx, nothing wrong in a log, and what was accepted is counted."""

from collections.abc import Iterator

import pytest
import redis

from tests.conftest import Servers
from tests.hostile.product import running
from tests.hostile.session import Session, session_of

pytestmark = [pytest.mark.xdist_group("hostile"), pytest.mark.any_database]

# `make hostile` sends many more, and others each time.
CASES = 2_000
SEED = 20_261_129


@pytest.fixture(scope="module")
def session(
    tmp_path_factory: pytest.TempPathFactory, embedded_servers: Servers, migrated_database: str
) -> Iterator[Session]:
    with redis.Redis.from_url(embedded_servers.redis_url) as client:
        client.flushall()
    directory = tmp_path_factory.mktemp("hostile")
    with (
        running(directory, embedded_servers, migrated_database) as product,
        session_of(product) as session,
    ):
        yield session


def test_nothing_that_is_sent_does_any_harm(session: Session) -> None:
    session.run(CASES, SEED)
    session.finish()
    assert session.findings == []
    assert session.cases == CASES
