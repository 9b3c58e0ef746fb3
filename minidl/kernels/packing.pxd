# True if a panel that could be read in place is to be copied first; worthwhile: what the cost model says.
cdef bint packs(bint worthwhile) noexcept nogil
