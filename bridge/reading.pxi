# Part of _bridge.pyx: samples from a file into an image.

ctypedef fused Sample:
    double
    float


def read_grey(int descriptor, int64_t offset, Sample[:, ::1] out not None, int cell, bint is_signed, int stored,
              int shift, double slope, double intercept):
    """Read grey samples (PS3.5 8.1.1) from a file and convert them in one pass, without the GIL.

    Parameters
    ----------
    descriptor : int
        Of the file.
    offset : int
        First byte of the samples, which are little-endian.
    out : float64 or float32 array (rows, columns)
        C-contiguous, writable; filled with `stored value * slope + intercept`.
    cell : {1, 2, 4}
        Bytes of a sample.
    is_signed : bool
        Stored values are in two's complement.
    stored, shift : int
        Bits of a stored value, and those below it in its cell.

    Returns
    -------
    bool
        False when the file ends too early or can't be read; then `out` holds anything.
    """
    cdef Grey grey
    cdef bint is_filled
    if cell not in (1, 2, 4) or not 0 < stored or not 0 <= shift or stored + shift > 8 * cell:
        raise ValueError(f"{stored} bits from bit {shift} of a cell of {cell} bytes can't be")
    grey.cell, grey.is_signed, grey.stored, grey.shift = cell, is_signed, stored, shift
    grey.slope, grey.intercept = slope, intercept
    cdef size_t count = out.shape[0] * out.shape[1]
    if count == 0:
        return True
    with nogil:
        is_filled = call_read_grey(descriptor, offset, grey, count, &out[0, 0])
    return is_filled
