"""The reference table: pixels that each public file must decode to."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from tests.support.checkout import CHECKOUT, DATA_SET


@dataclass(frozen=True)
class Reference:
    """A line of the table.

    Attributes
    ----------
    file : str
        Below the developers' data set.
    frame : int
        From 0.
    dtype : str
    shape : tuple of int
    low, high, total : float
        Least and greatest sample, and the sum of all.
    place : tuple of int
        Index of a sample.
    value : tuple of float
        The sample, or the samples of its pixel.
    """

    file: str
    frame: int
    dtype: str
    shape: tuple[int, ...]
    low: float
    high: float
    total: float
    place: tuple[int, ...]
    value: tuple[float, ...]

    @classmethod
    def parse(cls, line: str) -> "Reference":
        """Parse a line."""
        file, frame, dtype, shape, low, high, total, place, value = line.split()
        return cls(
            file,
            int(frame),
            dtype,
            tuple(int(part) for part in shape.split("x")),
            float(low),
            float(high),
            float(total),
            tuple(int(part) for part in place.split(",")),
            tuple(float(part) for part in value.split(",")),
        )

    @property
    def path(self) -> Path:
        """The file; skips the test where it is not here."""
        path = DATA_SET / self.file
        if path.is_file():
            return path
        # pydicom's wheel brings many of them.
        own = (
            get_testdata_file(Path(self.file).name, download=False) if self.file.startswith("pydicom-wheel/") else None
        )
        if own is None:
            pytest.skip(f"{self.file} of the developers' data set is not here")
        return Path(own)

    def check(self, array: np.ndarray) -> None:
        """Assert that decoded samples are those of the table."""
        assert array.shape == self.shape
        assert array.dtype == np.dtype(self.dtype)
        assert (array.min(), array.max()) == (self.low, self.high)
        exact = array.dtype.kind != "f"
        assert float(array.sum(dtype="i8" if exact else "f8")) == pytest.approx(self.total, rel=0 if exact else 1e-7)
        assert tuple(np.atleast_1d(array[self.place]).tolist()) == self.value


LINES = (CHECKOUT / "tests" / "pixels" / "decode" / "reference.txt").read_text(encoding="utf-8").splitlines()
REFERENCES = [Reference.parse(line) for line in LINES if line and not line.startswith("#")]
