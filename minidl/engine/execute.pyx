"""The ops: each function computes the slice of one thread of one op of a step.

They find their operands by position, in the order of ``OpKind.operands`` (minidl/engine/ops.py), and hand
the arithmetic to minidl/kernels and csrc/leaf.
"""

from libc.string cimport memcpy

from minidl.engine.plan cimport CACHE_LINE, BoundOp, CachedProduct, Plan, Step
from minidl.kernels._leaf cimport mdl_sgd
from minidl.kernels.matmul cimport Epilogue, gemm, plan_product, scratch_bytes


cdef inline void cut(ptrdiff_t n, ptrdiff_t unit, ptrdiff_t thread, ptrdiff_t n_threads,
                     ptrdiff_t *start, ptrdiff_t *end) noexcept nogil:
    """Range of this thread among n things handed out in units."""
    cdef ptrdiff_t units = (n + unit - 1) // unit
    start[0] = min(n, units * thread // n_threads * unit)
    end[0] = min(n, units * (thread + 1) // n_threads * unit)


cdef inline char *row(BoundOp *op, int operand, Step *step, ptrdiff_t r) noexcept nogil:
    """Address of row r of the batch in an operand."""
    if op.bound[operand]:
        r += step.first_row
    return op.p[operand] + r * op.stride[operand]


cdef inline ptrdiff_t ld(BoundOp *op, int operand) noexcept nogil:
    """Leading dimension of an operand in elements of the program's dtype."""
    return op.stride[operand] // op.leaf.item_size


cdef inline bint is_new(CachedProduct *share, ptrdiff_t rows, ptrdiff_t n_threads) noexcept nogil:
    """True if a share was planned for another batch or team; from now on it is for this one."""
    if share.rows == rows and share.n_threads == n_threads:
        return False
    share.rows = rows
    share.n_threads = n_threads
    return True


cdef void run_gather(BoundOp *op, Plan *plan, Step *step, ptrdiff_t thread,
                     ptrdiff_t n_threads) noexcept nogil:
    cdef ptrdiff_t r, r0, r1
    cut(step.rows, 1, thread, n_threads, &r0, &r1)
    for r in range(r0, r1):
        memcpy(op.p[1] + r * op.stride[1], op.p[0] + step.index[r] * op.stride[0], op.bytes)


cdef void run_dense(BoundOp *op, Plan *plan, Step *step, ptrdiff_t thread,
                    ptrdiff_t n_threads) noexcept nogil:
    # x, weight, bias, y, d
    cdef CachedProduct *share = op.products + thread
    cdef Epilogue epilogue
    if is_new(share, step.rows, n_threads):
        cut(step.rows, 1, thread, n_threads, &share.i0, &share.i1)
        plan_product(&share.product, op.leaf, share.i1 - share.i0, op.n, op.k, ld(op, 0), 1, ld(op, 1), 1,
                     True)
    if share.i0 == share.i1:
        return
    epilogue.forward = op.forward
    epilogue.backward = NULL
    epilogue.saved = row(op, 4, step, share.i0) if op.p[4] != NULL else NULL
    epilogue.lds = ld(op, 4)
    epilogue.param = op.param
    gemm(&share.product, row(op, 0, step, share.i0), op.p[1], op.p[2], 0, row(op, 3, step, share.i0),
         ld(op, 3), &epilogue, plan.scratch + thread * scratch_bytes())


cdef void run_activation(BoundOp *op, Plan *plan, Step *step, ptrdiff_t thread,
                         ptrdiff_t n_threads) noexcept nogil:
    # x, y, d
    cdef ptrdiff_t r0, r1
    cut(step.rows, 1, thread, n_threads, &r0, &r1)
    op.forward(r1 - r0, op.n, row(op, 0, step, r0), ld(op, 0), row(op, 1, step, r0), ld(op, 1),
               row(op, 2, step, r0) if op.p[2] != NULL else NULL, ld(op, 2), op.param)


cdef void run_softmax(BoundOp *op, Plan *plan, Step *step, ptrdiff_t thread,
                      ptrdiff_t n_threads) noexcept nogil:
    # x, y
    cdef ptrdiff_t r0, r1
    cut(step.rows, 1, thread, n_threads, &r0, &r1)
    op.leaf.softmax(r1 - r0, op.n, row(op, 0, step, r0), ld(op, 0), row(op, 1, step, r0), ld(op, 1))


cdef void run_loss(BoundOp *op, Plan *plan, Step *step, ptrdiff_t thread,
                   ptrdiff_t n_threads) noexcept nogil:
    # z, target, weight, dz, row_loss, row_hit
    cdef ptrdiff_t r0, r1
    cut(step.rows, 1, thread, n_threads, &r0, &r1)
    if r0 == r1:
        return
    op.loss(r1 - r0, op.n, row(op, 0, step, r0), ld(op, 0), row(op, 1, step, r0), ld(op, 1),
            row(op, 2, step, r0) if op.p[2] != NULL else NULL, step.scale,
            row(op, 3, step, r0) if op.p[3] != NULL else NULL, ld(op, 3),
            <double *> row(op, 4, step, r0), <double *> row(op, 5, step, r0), op.param)


cdef void run_activation_grad(BoundOp *op, Plan *plan, Step *step, ptrdiff_t thread,
                              ptrdiff_t n_threads) noexcept nogil:
    # dy, saved, dz
    cdef ptrdiff_t r0, r1
    cut(step.rows, 1, thread, n_threads, &r0, &r1)
    op.backward(r1 - r0, op.n, row(op, 0, step, r0), ld(op, 0), row(op, 1, step, r0), ld(op, 1),
                row(op, 2, step, r0), ld(op, 2), op.param)


cdef void run_softmax_grad(BoundOp *op, Plan *plan, Step *step, ptrdiff_t thread,
                           ptrdiff_t n_threads) noexcept nogil:
    # dy, y, dz
    cdef ptrdiff_t r0, r1
    cut(step.rows, 1, thread, n_threads, &r0, &r1)
    op.leaf.softmax_backward(r1 - r0, op.n, row(op, 0, step, r0), ld(op, 0), row(op, 1, step, r0),
                             ld(op, 1), row(op, 2, step, r0), ld(op, 2))


cdef void run_dense_dx(BoundOp *op, Plan *plan, Step *step, ptrdiff_t thread,
                       ptrdiff_t n_threads) noexcept nogil:
    # dz, weight, saved, dx
    cdef CachedProduct *share = op.products + thread
    cdef Epilogue epilogue
    if is_new(share, step.rows, n_threads):
        cut(step.rows, 1, thread, n_threads, &share.i0, &share.i1)
        # the transpose of the weights: element (p, j) of b stands at j * ld + p
        plan_product(&share.product, op.leaf, share.i1 - share.i0, op.k, op.n, ld(op, 0), 1, 1, ld(op, 1),
                     True)
    if share.i0 == share.i1:
        return
    epilogue.forward = NULL
    epilogue.backward = op.backward
    epilogue.saved = row(op, 2, step, share.i0) if op.p[2] != NULL else NULL
    epilogue.lds = ld(op, 2)
    epilogue.param = op.param
    gemm(&share.product, row(op, 0, step, share.i0), op.p[1], NULL, 0, row(op, 3, step, share.i0),
         ld(op, 3), &epilogue, plan.scratch + thread * scratch_bytes())


cdef void run_dense_dw(BoundOp *op, Plan *plan, Step *step, ptrdiff_t thread,
                       ptrdiff_t n_threads) noexcept nogil:
    # x, dz, dweight, dbias
    cdef CachedProduct *share = op.products + thread
    cdef ptrdiff_t c0, c1, size = op.leaf.item_size
    cdef char *block
    if is_new(share, step.rows, n_threads):
        share.i0, share.i1, share.j0, share.j1 = 0, op.k, 0, op.n
        if op.k >= op.n:
            cut(op.k, 1, thread, n_threads, &share.i0, &share.i1)
        else:
            cut(op.n, 64 // size, thread, n_threads, &share.j0, &share.j1)
        plan_product(&share.product, op.leaf, share.i1 - share.i0, share.j1 - share.j0, step.rows,
                     1, ld(op, 0), ld(op, 1), 1, True)
    if share.i0 < share.i1 and share.j0 < share.j1:
        block = op.p[2] + share.i0 * op.stride[2] + share.j0 * size
        gemm(&share.product, row(op, 0, step, 0) + share.i0 * size,
             row(op, 1, step, 0) + share.j0 * size, NULL, 0, block, ld(op, 2), NULL,
             plan.scratch + thread * scratch_bytes())
        if not op.leaf.all_finite(share.i1 - share.i0, share.j1 - share.j0, block, ld(op, 2)):
            plan.flags[thread * (CACHE_LINE // sizeof(int))] |= 1
    if op.p[3] != NULL:
        cut(op.n, op.leaf.lanes, thread, n_threads, &c0, &c1)
        if c0 < c1:
            block = op.p[3] + c0 * size
            op.leaf.col_sum(step.rows, c1 - c0, row(op, 1, step, 0) + c0 * size, ld(op, 1),
                            NULL, block)
            if not op.leaf.all_finite(1, c1 - c0, block, c1 - c0):
                plan.flags[thread * (CACHE_LINE // sizeof(int))] |= 1


cdef void run_sgd(BoundOp *op, Plan *plan, Step *step, ptrdiff_t thread,
                  ptrdiff_t n_threads) noexcept nogil:
    # grads, velocity, params
    cdef ptrdiff_t i0, i1, size = op.leaf.item_size
    cdef mdl_sgd h = plan.sgd
    h.lr = step.lr
    h.first_step = step.first_update
    cut(op.n, 64, thread, n_threads, &i0, &i1)
    if i0 < i1 and op.leaf.sgd(i1 - i0, op.p[2] + i0 * size,
                               op.p[1] + i0 * size if op.p[1] != NULL else NULL,
                               op.p[0] + i0 * size, &h):
        plan.flags[thread * (CACHE_LINE // sizeof(int))] |= 2


cdef void assign_run(BoundOp *op, str name) noexcept:
    """The function of an op; a test checks that every op of the vocabulary has one."""
    if name == "GATHER":
        op.run = run_gather
    elif name == "DENSE":
        op.run = run_dense
    elif name == "ACTIVATION":
        op.run = run_activation
    elif name == "SOFTMAX":
        op.run = run_softmax
    elif name == "LOSS":
        op.run = run_loss
    elif name == "ACTIVATION_GRAD":
        op.run = run_activation_grad
    elif name == "SOFTMAX_GRAD":
        op.run = run_softmax_grad
    elif name == "DENSE_DX":
        op.run = run_dense_dx
    elif name == "DENSE_DW":
        op.run = run_dense_dw
    elif name == "SGD":
        op.run = run_sgd
    else:
        op.run = NULL


def knows(name):
    """True if the executor has a function for an op of the vocabulary."""
    cdef BoundOp op
    assign_run(&op, name)
    return op.run != NULL
