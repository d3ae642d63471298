# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""Calls of native plugins: pixels by pointer, the GIL released during the foreign call, results held by their owner.

Checks of the library's file and reading of pixels happen elsewhere: see `neurdicom.workers.loaders.native`.
"""

import os

cimport cython
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_WRITABLE
from libc.limits cimport INT_MAX
from libc.stdint cimport int64_t, uintptr_t
from libc.stdio cimport _IOLBF, setvbuf, stdout

from abi cimport (
    RTLD_LOCAL,
    RTLD_NOW,
    Failure,
    Plugin,
    call_depth,
    call_destroy,
    call_init,
    call_process,
    call_process_volume,
    call_release,
    call_shape,
    call_text,
    dlerror,
    dlopen,
    dlsym,
    watch,
)

cdef char* DOUBLE_FORMAT = b"d"
cdef char* FLOAT_FORMAT = b"f"

cdef enum:
    RETURNED = 0
    OUT_OF_MEMORY = 1
    ALIGNMENT = 64
    MOST_CHANNELS = 64

cdef int64_t MOST_SAMPLES = <int64_t>1 << 40


class CallFailed(RuntimeError):
    """The plugin returned NULL, or threw; the message is its own if it has one."""


class LoadFailed(RuntimeError):
    """The library can't be loaded, or lacks a required function."""


include "result.pxi"


cdef class Library:
    """A loaded plugin, from `InitPlugin` to `DestroyPlugin`. One thread at a time.

    Parameters
    ----------
    path : str
        The shared library.

    Raises
    ------
    LoadFailed
        The loader refuses it, symbols are missing, or `InitPlugin` returned NULL.
    CallFailed
        `InitPlugin` threw.
    MemoryError
        `InitPlugin` threw std::bad_alloc.
    """

    cdef Plugin* _plugin
    cdef void* _library
    cdef void* _process
    cdef void* _process_f32
    cdef void* _process_volume
    cdef void* _destroy
    cdef void* _free
    cdef void* _free_f32
    cdef void* _last_error
    cdef void* _result_shape
    cdef void* _result_depth
    cdef void* _result_json
    cdef int _alive
    cdef int _lent

    def __cinit__(self, str path not None):
        cdef bytes name = os.fsencode(path)
        cdef const char* c_name = name
        with nogil:
            self._library = dlopen(c_name, RTLD_NOW | RTLD_LOCAL)
        if self._library == NULL:
            raise LoadFailed(_text(dlerror()))
        cdef void* start = self._find(b"InitPlugin")
        self._destroy = self._find(b"DestroyPlugin")
        self._process = self._find(b"Process")
        self._process_f32 = self._find(b"ProcessF32")
        self._process_volume = self._find(b"ProcessVolume")
        self._free = self._find(b"FreeResult")
        self._free_f32 = self._find(b"FreeResultF32")
        self._last_error = self._find(b"LastError")
        self._result_shape = self._find(b"ResultShape")
        self._result_depth = self._find(b"ResultDepth")
        self._result_json = self._find(b"ResultJson")
        missing = []
        if start == NULL:
            missing.append("InitPlugin")
        if self._process == NULL and self._process_f32 == NULL and self._process_volume == NULL:
            missing.append("Process")
        if self._destroy == NULL:
            missing.append("DestroyPlugin")
        if missing:
            raise LoadFailed(f"it does not export {', '.join(missing)}")
        cdef Failure failure
        cdef int outcome
        with nogil:
            outcome = call_init(start, &self._plugin, failure)
        _check(outcome, failure)
        if self._plugin == NULL:
            raise LoadFailed("InitPlugin returned NULL")

    cdef void* _find(self, const char* name):
        return dlsym(self._library, name)

    @property
    def wants_float32(self):
        """True if it takes float32 images, by `ProcessF32`, instead of float64."""
        return self._process_f32 != NULL

    @property
    def takes_images(self):
        """True if it has `Process` or `ProcessF32`."""
        return self._process != NULL or self._process_f32 != NULL

    @property
    def takes_volumes(self):
        """True if it has `ProcessVolume`."""
        return self._process_volume != NULL

    def process(self, double[:, ::1] image not None, bytes params not None):
        """Call `Process` without the GIL.

        Parameters
        ----------
        image : float64 array (height, width)
            C-contiguous, writable, aligned to 64 bytes. The plugin may change it.
        params : bytes
            JSON object in UTF-8.

        Returns
        -------
        Result or None
            None if the plugin returned NULL without a reason and has `ResultJson`.

        Raises
        ------
        CallFailed
            It returned NULL, or threw, or set an impossible size by `ResultShape`.
        MemoryError
            It threw std::bad_alloc.
        BufferError
            A view of an earlier result is still in use and the plugin has no `FreeResult`.
        """
        cdef double* answer = NULL
        cdef const char* text = params
        cdef Failure failure
        cdef int outcome
        self._check_call(self._process, 1, image.shape[0], image.shape[1], <uintptr_t>&image[0, 0])
        cdef int height = <int>image.shape[0], width = <int>image.shape[1]
        with nogil:
            outcome = call_process(self._process, self._plugin, &image[0, 0], width, height, text, &answer, failure)
        _check(outcome, failure)
        return self._hold(answer, answer == &image[0, 0], image, 0, height, width, False)

    def process_f32(self, float[:, ::1] image not None, bytes params not None):
        """Call `ProcessF32`, as `process` does for a float32 array."""
        cdef float* answer = NULL
        cdef const char* text = params
        cdef Failure failure
        cdef int outcome
        self._check_call(self._process_f32, 1, image.shape[0], image.shape[1], <uintptr_t>&image[0, 0])
        cdef int height = <int>image.shape[0], width = <int>image.shape[1]
        with nogil:
            outcome = call_process(self._process_f32, self._plugin, &image[0, 0], width, height, text, &answer, failure)
        _check(outcome, failure)
        return self._hold(answer, answer == &image[0, 0], image, 0, height, width, True)

    def process_volume(self, double[:, :, ::1] volume not None, bytes params not None):
        """Call `ProcessVolume`, as `process` does for a float64 array of shape (depth, height, width)."""
        cdef double* answer = NULL
        cdef const char* text = params
        cdef Failure failure
        cdef int outcome
        self._check_call(
            self._process_volume, volume.shape[0], volume.shape[1], volume.shape[2], <uintptr_t>&volume[0, 0, 0]
        )
        cdef int depth = <int>volume.shape[0], height = <int>volume.shape[1], width = <int>volume.shape[2]
        with nogil:
            outcome = call_process_volume(
                self._process_volume, self._plugin, &volume[0, 0, 0], width, height, depth, text, &answer, failure
            )
        _check(outcome, failure)
        return self._hold(answer, answer == &volume[0, 0, 0], volume, depth, height, width, False)

    cdef int _check_call(
        self, void* function, Py_ssize_t depth, Py_ssize_t height, Py_ssize_t width, uintptr_t address
    ) except -1:
        if self._plugin == NULL:
            raise ValueError("the plugin is closed")
        if function == NULL:
            raise TypeError("the plugin has no function for this type of sample or this number of dimensions")
        if self._lent:
            raise BufferError("an earlier result of the plugin is still in use")
        if not (0 < depth <= INT_MAX and 0 < height <= INT_MAX and 0 < width <= INT_MAX):
            raise ValueError(f"{depth} x {height} x {width} samples can't be processed")
        if address % ALIGNMENT:
            raise ValueError(f"the image is not aligned to {ALIGNMENT} bytes")
        return 0

    cdef Result _hold(
        self, void* answer, bint is_in_place, object given, int depth, int height, int width, bint is_float
    ):
        """Make the object that owns the memory that the plugin returned; None if it returned NULL and has `ResultJson`.

        `depth` is 0 for an image.
        """
        if answer == NULL:
            reason = self.last_error()
            if reason is None and self._result_json != NULL:
                return None
            raise CallFailed(reason or f"{'ProcessVolume' if depth else 'Process'} returned NULL")
        cdef void* freeing = self._free_f32 if is_float else self._free
        cdef Result result = Result.__new__(Result)
        result._library = self
        self._alive += 1
        result._data = answer
        result._is_float = is_float
        if is_in_place:
            result._image = given
        elif freeing != NULL:
            result._release = freeing
        else:
            result._is_borrowed = True
            self._lent += 1
        if self._result_shape == NULL and (depth == 0 or self._result_depth == NULL):
            result._set_shape(depth, height, width, 1)
        else:
            self._ask_shape(result, depth, height, width)
        return result

    cdef int _ask_shape(self, Result result, int depth, int height, int width) except -1:
        """Set the shape of a result: the input's, unless `ResultShape` or `ResultDepth` set another."""
        cdef int given_width = width, given_height = height, given_depth = depth, channels = 1
        cdef int64_t most, slices
        cdef Failure failure
        said = []
        if self._result_shape != NULL:
            with nogil:
                outcome = call_shape(self._result_shape, self._plugin, &given_width, &given_height, &channels, failure)
            _check(outcome, failure)
            said.append(f"ResultShape says width {given_width}, height {given_height}, channels {channels}")
        cdef bint is_asked = depth != 0 and self._result_depth != NULL
        if is_asked:
            with nogil:
                outcome = call_depth(self._result_depth, self._plugin, &given_depth, failure)
            _check(outcome, failure)
            said.append(f"ResultDepth says {given_depth}")
        if given_width <= 0 or given_height <= 0 or given_depth < (depth != 0) or not 0 < channels <= MOST_CHANNELS:
            raise CallFailed(f"{', '.join(said)}: each must be positive, and channels at most {MOST_CHANNELS}")
        slices = max(given_depth, 1)
        most = MOST_SAMPLES // given_height // channels // slices
        if given_width > most:
            raise CallFailed(f"{', '.join(said)}: more than {MOST_SAMPLES} samples can't be")
        if result._image is not None and given_width * slices * given_height * channels > <int64_t>width * height * max(
            depth, 1
        ):
            size = f"width {width} and height {height}" + (f" and depth {depth}" if depth else "")
            place = f"in the {'volume' if depth else 'image'}, which has {size}"
            raise CallFailed(f"{', '.join(said)}, but the result is {place}")
        result._set_shape(0 if is_asked and given_depth == 1 else given_depth, given_height, given_width, channels)
        return 0

    def last_error(self):
        """Call the plugin's `LastError`; None if it has none or returns no text."""
        return self._ask(self._last_error)

    def result_json(self):
        """Call the plugin's `ResultJson`; None if it has none or returns no text."""
        return self._ask(self._result_json)

    cdef object _ask(self, void* function):
        cdef const char* answer = NULL
        cdef int outcome
        cdef Failure failure
        if function == NULL or self._plugin == NULL:
            return None
        with nogil:
            outcome = call_text(function, self._plugin, &answer, failure)
        _check(outcome, failure)
        return (_text(answer) or None) if answer != NULL else None

    def close(self):
        """Call `DestroyPlugin`. Idempotent. The library stays mapped, since threads of the plugin may still run in it.

        Raises
        ------
        BufferError
            A view of a result is still in use.
        """
        cdef Plugin* plugin = self._plugin
        cdef int outcome
        cdef Failure failure
        if plugin == NULL:
            return
        if self._alive:
            raise BufferError("a result of the plugin is still in use")
        self._plugin = NULL
        with nogil:
            outcome = call_destroy(self._destroy, plugin, failure)
        _check(outcome, failure)


cdef int _check(int outcome, Failure& failure) except -1:
    if outcome == RETURNED:
        return 0
    if outcome == OUT_OF_MEMORY:
        raise MemoryError("std::bad_alloc")
    raise CallFailed(_text(failure.text))


cdef str _text(const char* text):
    return (<bytes>text).decode("utf-8", "replace")


def start_watch(long long limit, int exit_status):
    """Start the thread that ends this process once it holds `limit` bytes more than now. Called once in a process.

    A crash after a refused allocation ends the process with the same status.

    Parameters
    ----------
    limit : int
        Bytes.
    exit_status : int
        Exit status of the process.

    Raises
    ------
    OSError
        The thread can't be started, or /proc can't be read.
    """
    cdef int code = watch().start(limit, exit_status) or watch().catch_crashes()
    if code:
        raise OSError(code, f"the memory of this process can't be watched: {os.strerror(code)}")


def set_working(bint working):
    """Tell the watch whether the plugin is working; while it is idle, memory is checked less often."""
    watch().set_working(working)


def print_by_line():
    """Set C's stdout to line buffering, which is the default on terminals only."""
    setvbuf(stdout, NULL, _IOLBF, 0)
