"""Options of servers whose data no other test shares."""

import uuid

import pytest


@pytest.fixture(params=["sqlite", "mongodb"])
def own_options(request: pytest.FixtureRequest) -> list[str]:
    """Options of a server on each catalog; a database in MongoDB is the test's own."""
    if request.param == "sqlite":
        return []
    uri = request.getfixturevalue("mongodb_uri")
    return ["--mongodb-uri", f"{uri.rstrip('/')}/neurdicom_{uuid.uuid4().hex[:12]}"]
