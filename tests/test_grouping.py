import os

import pytest


@pytest.mark.xdist_group("grouping")
def test_tests_of_a_group_are_known_to_be_one(request: pytest.FixtureRequest) -> None:
    """Else they are spread over all processes, and each of these starts the group's servers."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        pytest.skip("there is one process")
    assert request.node.nodeid.endswith("@grouping")
