"""Every adapter against the contract of its port."""

import pytest

pytest.register_assert_rewrite("neurdicom.testing.catalog", "neurdicom.testing.catalog_machine")
