# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""Loops over the samples of an image that go through memory once, without the GIL. Their callers are documented in
`neurdicom.pixels.kernels`.
"""

from libc.stdint cimport int64_t, uint8_t


cdef extern from "reading.hpp" namespace "neurdicom" nogil:
    cdef struct Grey:
        int cell
        bint is_signed
        int stored
        int shift
        double slope
        double intercept

    bint call_read_grey "neurdicom::read_grey"[Sample](int descriptor, int64_t offset, const Grey& grey, size_t count,
                                                       Sample* out) noexcept


cdef extern from "scaling.hpp" namespace "neurdicom" nogil:
    bint call_scale8 "neurdicom::scale8"[Sample](const Sample* samples, size_t count, uint8_t* out) noexcept


ctypedef fused Sample:
    double
    float


def read_grey(int descriptor, int64_t offset, Sample[:, ::1] out not None, int cell, bint is_signed, int stored,
              int shift, double slope, double intercept):
    """Fill an image from a file; return False if the file ends too early or can't be read."""
    cdef Grey grey
    cdef bint is_filled
    if cell not in (1, 2, 4) or not 0 < stored or not 0 <= shift or stored + shift > 8 * cell:
        raise ValueError(f"{stored} bits from bit {shift} on do not fit into a cell of {cell} bytes")
    grey.cell, grey.is_signed, grey.stored, grey.shift = cell, is_signed, stored, shift
    grey.slope, grey.intercept = slope, intercept
    cdef size_t count = out.shape[0] * out.shape[1]
    if count == 0:
        return True
    with nogil:
        is_filled = call_read_grey(descriptor, offset, grey, count, &out[0, 0])
    return is_filled


def scale8(const Sample[:, ::1] samples not None, uint8_t[:, ::1] out not None):
    """Scale samples to 0 to 255; return False, and write nothing, if they are not all finite."""
    cdef bint is_scaled
    if samples.shape[0] != out.shape[0] or samples.shape[1] != out.shape[1]:
        raise ValueError("samples and out have different shapes")
    cdef size_t count = samples.shape[0] * samples.shape[1]
    if count == 0:
        return True
    with nogil:
        is_scaled = call_scale8(&samples[0, 0], count, &out[0, 0])
    return is_scaled
