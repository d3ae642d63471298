"""The folders of the checkout."""

from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
#: Headers of the C ABI.
HEADERS = CHECKOUT / "bridge" / "include"
