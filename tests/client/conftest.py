"""Each of the two clients in turn."""

import pytest

from tests.support.clients import Caller


@pytest.fixture(params=["sync", "async"])
def do(request: pytest.FixtureRequest) -> Caller:
    """A caller of each client."""
    return Caller(request.param == "async")
