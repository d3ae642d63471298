"""Tests of NeurDICOM; their folders mirror the package's."""

import pytest

# Assertions of what tests share say as much as a test's own when one fails.
pytest.register_assert_rewrite("tests.support", "neurdicom.testing")
