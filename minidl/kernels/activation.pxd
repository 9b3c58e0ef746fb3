cdef class ActivationCall:
    """What a kernel needs to know of one activation."""
    cdef readonly int code
    cdef readonly bint saves_output
    cdef double param[4]

cdef ActivationCall activation_call(object activation)
