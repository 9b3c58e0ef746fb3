# What the executor knows of a program once it is bound to memory: ops with pointers, the state of a run.
from libc.stdint cimport int64_t, uint64_t

from minidl.kernels._leaf cimport (
    mdl_act_backward_fn, mdl_act_forward_fn, mdl_leaves, mdl_loss_fn, mdl_sgd,
)

from minidl.kernels.gemm cimport Product

cdef extern from "team.h" nogil:
    ctypedef struct mdl_barrier:
        pass
    int mdl_team_size()
    void mdl_wait(mdl_barrier *barrier, int n_threads)
    double mdl_seconds()
    uint64_t mdl_flush_subnormals()
    void mdl_restore_floats(uint64_t before)

cdef enum:
    MAX_OPERANDS = 7
    CACHE_LINE = 128       # bytes between the flags of two threads
    CLOCK_FLOPS = 1000000  # steps with less work read the clock only every 16th time

# Why a run ended.
cdef enum:
    C_FINISHED = 0
    C_TIME_SLICE = 1
    C_BAD_LOSS = 2
    C_BAD_GRADIENT = 3
    C_BAD_UPDATE = 4
    C_INTERRUPTED = 5

cdef struct Plan
cdef struct Step

# The plan of a thread's share of a product, kept while the batch, the team and the input stay alike.
cdef struct CachedProduct:
    ptrdiff_t rows, n_threads, stride
    bint fused                          # the update follows each block of so many rows
    ptrdiff_t block
    ptrdiff_t i0, i1, j0, j1            # block of the result
    Product product

# One op as the executor sees it: pointers instead of names.
cdef struct BoundOp:
    void (*run)(BoundOp *op, Plan *plan, Step *step, ptrdiff_t thread, ptrdiff_t n_threads) noexcept nogil
    const mdl_leaves *leaf
    bint barrier                        # meet the team before this op
    bint updates                        # writes parameters: only after the step has proved finite
    bint decides                        # first gradient after the guards: may the update follow at once?
    bint tiles                          # cut over columns of the result, not over rows of the batch
    char *p[MAX_OPERANDS]               # operands in the order of OpKind.operands, NULL if absent
    ptrdiff_t stride[MAX_OPERANDS]      # bytes between rows
    bint bound[MAX_OPERANDS]            # lent by the caller: row r of the batch is first_row + r
    ptrdiff_t n, k                      # fan_out and fan_in, or columns
    ptrdiff_t bytes                     # of a row, for GATHER
    mdl_act_forward_fn *forward
    mdl_act_backward_fn *backward
    mdl_loss_fn *loss
    double param[4]
    CachedProduct *products             # per thread

# What changes from step to step. Every thread has its own, and computes the same.
cdef struct Step:
    ptrdiff_t rows                      # in this batch
    ptrdiff_t first_row                 # of the batch, in the arrays that the caller lent
    const int64_t *index                # rows of this batch in the source, NULL without GATHER
    double scale                        # 1 / sum of the weights of the batch
    double lr
    bint first_update                   # the velocity holds nothing yet
    bint fused                          # no gradient can overflow: each is followed by its update

# What stays for a run. Written by thread 0 only, read by others after a barrier.
cdef struct Plan:
    BoundOp *ops
    ptrdiff_t n_ops
    ptrdiff_t first_guard, n_guards
    char *param                         # the flat vectors; velocity may be NULL
    char *grad
    char *velocity
    const mdl_leaves *leaf
    ptrdiff_t batch, n_rows, start, stop
    const int64_t *index
    const double *lr                    # per step, NULL if nothing is updated
    char *weight                        # sample weights of the caller, NULL for none
    double *row_loss                    # NULL without a loss
    double *row_hit
    double *losses                      # results per step: sum of w*l, sum of hits, sum of w
    double *hits
    double *weights
    bint check_finite                   # stop rather than train on
    bint no_velocity_yet
    mdl_sgd sgd
    char *scratch                       # per thread
    int *flags                          # per thread, CACHE_LINE apart: 1 gradient, 2 update not finite
    double slice_end                    # clock at which the run returns to Python
    double poll_at                      # clock at which thread 0 looks for signals inside a step
    bint long_steps
    mdl_barrier barrier
    uint64_t floats                     # state of the floating-point unit of thread 0 before the run
    int signal[2]                       # thread 0 tells the team to stop; one slot per parity of barrier
    void *owner                         # the BoundProgram
    int (*poll)(Plan *plan) noexcept nogil  # how thread 0 looks for signals: C_INTERRUPTED or 0
    # results
    ptrdiff_t steps_done
    int status
