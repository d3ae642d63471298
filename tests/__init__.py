"""Tests of NeurDICOM; their folders mirror the package's."""

import os
import sys
from pathlib import Path

import pytest

# Assertions of what tests share say as much as a test's own when one fails.
pytest.register_assert_rewrite("tests.support", "neurdicom.testing")

# Where Python may write no bytecode, each of some hundred servers would compile all of its modules anew.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = str(Path(__file__).parents[1] / ".pytest_cache/bytecode")
    sys.dont_write_bytecode = False
