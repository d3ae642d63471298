# The result of a plugin, held by its owner. Included by _bridge.pyx.


@cython.no_gc_clear
cdef class Result:
    """The memory that a plugin returned, as a read-only buffer of doubles or floats that is never copied.

    float64 or float32, shape (height, width) or (height, width, channels); of a volume, (depth, height, width) or
    (depth, height, width, channels). Memory that the plugin allocated is freed, by its `FreeResult`, with the last
    view of it.
    """

    cdef Library _library
    cdef object _image
    cdef void* _data
    cdef void* _release
    cdef bint _is_float
    cdef bint _is_borrowed
    cdef bint _is_stack
    cdef int _ndim
    cdef Py_ssize_t _shape[4]
    cdef Py_ssize_t _strides[4]

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        cdef Py_ssize_t size = sizeof(float) if self._is_float else sizeof(double)
        if flags & PyBUF_WRITABLE:
            raise BufferError("the result is read-only")
        buffer.buf = self._data
        buffer.obj = self
        buffer.len = self._shape[0] * self._strides[0]
        buffer.itemsize = size
        buffer.readonly = 1
        buffer.format = NULL
        if flags & PyBUF_FORMAT:
            buffer.format = FLOAT_FORMAT if self._is_float else DOUBLE_FORMAT
        buffer.ndim = self._ndim
        buffer.shape = self._shape
        buffer.strides = self._strides
        buffer.suboffsets = NULL
        buffer.internal = NULL

    @property
    def is_in_place(self):
        """True if the plugin returned its input, changed in place."""
        return self._image is not None

    @property
    def is_stack(self):
        """True if its first axis is that of slices."""
        return self._is_stack

    @property
    def shape(self):
        """(height, width), preceded by the depth of a volume, and followed by the channels if there are several."""
        return tuple([self._shape[index] for index in range(self._ndim)])

    cdef void _set_shape(self, int depth, int height, int width, int channels) noexcept:
        """Set shape and strides in C order; a depth of 0 and a single channel make no axis."""
        cdef Py_ssize_t stride = sizeof(float) if self._is_float else sizeof(double)
        cdef int axis = 0
        self._is_stack = depth != 0
        if depth:
            self._shape[axis] = depth
            axis += 1
        self._shape[axis], self._shape[axis + 1] = height, width
        axis += 2
        if channels > 1:
            self._shape[axis] = channels
            axis += 1
        self._ndim = axis
        while axis:
            axis -= 1
            self._strides[axis] = stride
            stride *= self._shape[axis]

    def __dealloc__(self):
        cdef Failure failure
        if self._release != NULL:
            with nogil:
                call_release(self._release, self._library._plugin, self._data, self._is_float, failure)
        if self._library is not None:
            self._library._alive -= 1
            self._library._lent -= self._is_borrowed
