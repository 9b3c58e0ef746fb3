cdef class Burst:
    cdef double ended  # the last product, in seconds
    cdef int count     # products of the row up to BURST, negative during a pause
    cdef double cost   # least seconds per operation of one thread in the row, 0 if unknown
    cdef int slow      # teams one after another that were too slow
    cdef int pause     # products without a team, the next time

    cpdef bint is_awake(self, double now) noexcept
    cpdef void note(self, double start, double end, double flops, int team, bint large) noexcept

cdef Burst burst_of_thread()
