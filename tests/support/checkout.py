"""The folders of the checkout."""

from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
#: Headers of the C ABI.
HEADERS = CHECKOUT / "bridge" / "include"
#: The developers' DICOM files, which are not a part of the repository.
DATA_SET = CHECKOUT.parent / "shared" / "data"
