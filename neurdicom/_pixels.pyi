"""Types of the compiled loops over samples; what they do is documented in neurdicom/pixels/kernels.py."""

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float64] | npt.NDArray[np.float32]

def read_grey(
    descriptor: int,
    offset: int,
    out: Samples,
    cell: int,
    is_signed: bool,
    stored: int,
    shift: int,
    slope: float,
    intercept: float,
) -> bool: ...
def scale8(samples: Samples, out: npt.NDArray[np.uint8]) -> bool: ...
