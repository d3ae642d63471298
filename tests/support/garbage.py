"""The garbage collector during a run: it leaves alone what the collection of tests made, which stays to the end.

Modules, tests and fixtures are a million objects, among which it would look for garbage again and again.
"""

import gc
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect no garbage while tests are collected, and never look at what is there then."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
