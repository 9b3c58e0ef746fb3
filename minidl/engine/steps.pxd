# The loop over steps, for the module that owns the memory and the team.
from libc.stdint cimport int64_t

from minidl.engine.plan cimport Plan, Step

cdef void run_share(Plan *plan, ptrdiff_t thread, ptrdiff_t n_threads) noexcept nogil
cdef void time_passes(Plan *plan, Step *step, ptrdiff_t passes, double *seconds, ptrdiff_t thread,
                      ptrdiff_t n_threads) noexcept nogil
cdef double sum_weights(Plan *plan, const int64_t *index, ptrdiff_t first, ptrdiff_t rows) noexcept nogil
