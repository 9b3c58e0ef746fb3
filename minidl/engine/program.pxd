# A bound program, for the modules that run it by other means than BoundProgram.run.
from minidl.engine.plan cimport BoundOp, CachedProduct, Plan


cdef class BoundProgram:
    cdef readonly object program
    cdef readonly dict arenas
    cdef readonly dict work_views
    cdef Plan plan
    cdef object pending
    cdef dict tuners
    cdef object lent
    cdef object _scratch
    cdef object _flags
    cdef dict lent_by_name
    cdef bint running
    cdef readonly bint streams  # a team may write parameters past the caches
    cdef double flops_per_row
    cdef CachedProduct *products
    cdef int room  # the largest team so far

    cdef _bind_op(self, BoundOp *bound, Py_ssize_t position, op)
    cdef char *_address(self, buffer) except NULL
    cdef _prepare_team(self, int team)
