"""Trees of all sources, which stay in memory to the end of a run."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="package", autouse=True)
def without_garbage() -> Iterator[None]:
    """Keep the garbage collector from half a million nodes: it would take longer than parsing and all tests here."""
    gc.collect()
    gc.disable()
    yield
    gc.freeze()
    gc.enable()
