"""docs/configuration.md names every setting, and none that is not there."""

import re
from dataclasses import fields

from neurdicom.config import Settings
from tests.support.checkout import CHECKOUT

PAGE = CHECKOUT / "docs" / "configuration.md"


def test_settings_and_page_agree() -> None:
    documented = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert documented == [each.name for each in fields(Settings)]
