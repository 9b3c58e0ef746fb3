cdef class Burst:
    cdef double started, ended  # of the last product, in seconds
    cdef int count              # products of the row, negative during a pause
    cdef double cost            # least seconds per operation of one thread in the row, 0 if unknown
    cdef int slow               # teams one after another that were too slow
    cdef int pause              # products without a team, the next time

    cpdef bint is_awake(self, double now) noexcept
    cpdef void note(self, double now, double flops, int team, bint alone) noexcept
