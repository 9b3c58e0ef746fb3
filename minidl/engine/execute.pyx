"""The ops: each function computes the slice of one thread of one op of a step.

They find their operands by position, in the order of ``OpKind.operands`` (minidl/engine/ops.py), and hand
the arithmetic to minidl/kernels and csrc/leaf.
"""

from minidl.engine.plan cimport CACHE_LINE, BoundOp, CachedProduct, Plan, Step
from minidl.kernels._leaf cimport mdl_sgd
from minidl.kernels.gemm cimport Epilogue, Product, gemm, no_epilogue, plan_product, scratch_bytes

cdef ptrdiff_t UPDATE_BYTES = 128 * 1024  # of gradients that wait in cache for their update


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


cdef inline bint is_new(CachedProduct *share, BoundOp *op, ptrdiff_t rows,
                        ptrdiff_t n_threads) noexcept nogil:
    """True if a share was planned for another batch, team or input; from now on it is for this one.

    All operands but the first are the program's own, and lie always the same way.
    """
    if share.rows == rows and share.n_threads == n_threads and share.stride == op.stride[0]:
        return False
    share.rows = rows
    share.n_threads = n_threads
    share.stride = op.stride[0]
    return True


cdef inline void cut_block(CachedProduct *share, BoundOp *op, ptrdiff_t cols, ptrdiff_t rows,
                           ptrdiff_t thread, ptrdiff_t n_threads) noexcept nogil:
    """This thread's block of a result with a row for each row of the batch: some columns, or some rows."""
    share.i0, share.i1, share.j0, share.j1 = 0, rows, 0, cols
    if op.tiles:
        cut(cols, 64 // op.leaf.item_size, thread, n_threads, &share.j0, &share.j1)
    else:
        cut(rows, 1, thread, n_threads, &share.i0, &share.i1)


cdef void run_gather(BoundOp *op, Plan *plan, Step *step, ptrdiff_t thread,
                     ptrdiff_t n_threads) noexcept nogil:
    # source, y
    cdef ptrdiff_t r0, r1
    cut(step.rows, 1, thread, n_threads, &r0, &r1)
    op.leaf.gather(r1 - r0, op.bytes, step.index + r0, op.p[0], op.stride[0], op.p[1] + r0 * op.stride[1],
                   op.stride[1])


cdef void run_dense(BoundOp *op, Plan *plan, Step *step, ptrdiff_t thread,
                    ptrdiff_t n_threads) noexcept nogil:
    # x, weight, bias, y, d
    cdef CachedProduct *share = op.products + thread
    cdef ptrdiff_t size = op.leaf.item_size
    cdef Epilogue epilogue = no_epilogue()
    if is_new(share, op, step.rows, n_threads):
        cut_block(share, op, op.n, step.rows, thread, n_threads)
        plan_product(&share.product, op.leaf, share.i1 - share.i0, share.j1 - share.j0, op.k, ld(op, 0), 1,
                     ld(op, 1), 1, True)
    if share.i0 == share.i1 or share.j0 == share.j1:
        return
    epilogue.forward = op.forward
    epilogue.saved = row(op, 4, step, share.i0) + share.j0 * size if op.p[4] != NULL else NULL
    epilogue.lds = ld(op, 4)
    epilogue.param = op.param
    gemm(&share.product, row(op, 0, step, share.i0), op.p[1] + share.j0 * size,
         op.p[2] + share.j0 * size if op.p[2] != NULL else NULL, row(op, 3, step, share.i0) + share.j0 * size,
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
    cdef ptrdiff_t size = op.leaf.item_size
    cdef Epilogue epilogue = no_epilogue()
    if is_new(share, op, step.rows, n_threads):
        cut_block(share, op, op.k, step.rows, thread, n_threads)
        # the transpose of the weights: element (p, j) of b stands at j * ld + p
        plan_product(&share.product, op.leaf, share.i1 - share.i0, share.j1 - share.j0, op.n, ld(op, 0), 1,
                     1, ld(op, 1), True)
    if share.i0 == share.i1 or share.j0 == share.j1:
        return
    epilogue.backward = op.backward
    if op.p[2] != NULL:
        epilogue.saved = row(op, 2, step, share.i0) + share.j0 * size
    epilogue.lds = ld(op, 2)
    epilogue.param = op.param
    gemm(&share.product, row(op, 0, step, share.i0), op.p[1] + share.j0 * op.stride[1], NULL,
         row(op, 3, step, share.i0) + share.j0 * size, ld(op, 3), &epilogue,
         plan.scratch + thread * scratch_bytes())


cdef void run_guard(BoundOp *op, Plan *plan, Step *step, ptrdiff_t thread,
                    ptrdiff_t n_threads) noexcept nogil:
    # x, dz, bound
    cdef ptrdiff_t r0, r1, ldo = op.stride[2] // <ptrdiff_t> sizeof(double)
    cdef double *bound
    cut(step.rows, 1, thread, n_threads, &r0, &r1)
    if r0 < r1:
        bound = <double *> row(op, 2, step, r0)
        op.leaf.row_largest(r1 - r0, op.k, row(op, 0, step, r0), ld(op, 0), bound, ldo)
        op.leaf.row_largest(r1 - r0, op.n, row(op, 1, step, r0), ld(op, 1), bound + 1, ldo)


cdef bint gradients_fit(Plan *plan, Step *step) noexcept nogil:
    """True if the guards have shown that no weight gradient of this step can overflow.

    Each is a sum of as many products as the batch has rows.
    """
    cdef double limit = 1e307 if plan.leaf.item_size == 8 else 1e38
    cdef double x, dz
    cdef const double *bound
    cdef BoundOp *op
    cdef ptrdiff_t g, r
    for g in range(plan.n_guards):
        op = &plan.ops[plan.first_guard + g]
        x = dz = 0.0
        for r in range(step.rows):
            bound = <const double *> (op.p[2] + r * op.stride[2])
            x = max(x, bound[0])
            dz = max(dz, bound[1])
        if not (max(x, 1.0) * dz * step.rows < limit):
            return False
    return True


cdef void run_dense_dw(BoundOp *op, Plan *plan, Step *step, ptrdiff_t thread,
                       ptrdiff_t n_threads) noexcept nogil:
    # x, dz, dweight, dbias
    cdef CachedProduct *share = op.products + thread
    cdef ptrdiff_t i, end, c0, c1, size = op.leaf.item_size
    cdef int *flag = plan.flags + thread * (CACHE_LINE // sizeof(int))
    cdef char *block
    cdef Epilogue search = no_epilogue()
    cdef Product last
    cdef Product *product
    if is_new(share, op, step.rows, n_threads) or share.fused != step.fused:
        share.fused = step.fused
        share.i0, share.i1, share.j0, share.j1 = 0, op.k, 0, op.n
        if op.k >= op.n or op.k >= 32 * n_threads:
            cut(op.k, 1, thread, n_threads, &share.i0, &share.i1)
        else:
            cut(op.n, 64 // size, thread, n_threads, &share.j0, &share.j1)
        share.block = share.i1 - share.i0
        if step.fused:
            share.block = min(share.block, max(12, UPDATE_BYTES // op.stride[2]))
        plan_gradient(&share.product, op, share.block, share.j1 - share.j0, step.rows)
    search.all_finite = op.leaf.all_finite
    search.flag = flag
    i = share.i0
    while i < share.i1 and share.j0 < share.j1:
        end = min(i + share.block, share.i1)
        product = &share.product
        if end - i < share.block:
            plan_gradient(&last, op, end - i, share.j1 - share.j0, step.rows)
            product = &last
        block = op.p[2] + i * op.stride[2] + share.j0 * size
        gemm(product, row(op, 0, step, 0) + i * size, row(op, 1, step, 0) + share.j0 * size, NULL, block,
             ld(op, 2), NULL if step.fused else &search, plan.scratch + thread * scratch_bytes())
        if step.fused:
            update_block(op, plan, step, thread, block, end - i, share.j1 - share.j0)
        i = end
    if op.p[3] != NULL:
        cut(op.n, op.leaf.lanes, thread, n_threads, &c0, &c1)
        if c0 < c1:
            block = op.p[3] + c0 * size
            op.leaf.col_sum(step.rows, c1 - c0, row(op, 1, step, 0) + c0 * size, ld(op, 1),
                            NULL, block)
            if step.fused:
                update(op, plan, step, thread, block - plan.grad, c1 - c0, step.lr)
            elif not op.leaf.all_finite(1, c1 - c0, block, c1 - c0):
                flag[0] |= 1


cdef void plan_gradient(Product *product, BoundOp *op, ptrdiff_t rows, ptrdiff_t cols,
                        ptrdiff_t batch) noexcept nogil:
    plan_product(product, op.leaf, rows, cols, batch, 1, ld(op, 0), ld(op, 1), 1, True)


cdef void update_block(BoundOp *op, Plan *plan, Step *step, ptrdiff_t thread, char *block,
                       ptrdiff_t rows, ptrdiff_t cols) noexcept nogil:
    """Update the weights that a block of their gradient belongs to."""
    cdef ptrdiff_t r
    if cols == op.n:  # whole rows follow one another; the pads between them are zeros
        cols += (rows - 1) * ld(op, 2)
        rows = 1
    for r in range(rows):
        update(op, plan, step, thread, block + r * op.stride[2] - plan.grad, cols, step.lr)


cdef void update(BoundOp *op, Plan *plan, Step *step, ptrdiff_t thread, ptrdiff_t offset,
                 ptrdiff_t n, double lr) noexcept nogil:
    """Update n parameters from so many bytes on in the flat vectors."""
    cdef mdl_sgd h = plan.sgd
    h.lr = lr
    h.first_step = step.first_update
    if op.leaf.sgd(n, plan.param + offset, plan.velocity + offset if plan.velocity != NULL else NULL,
                   plan.grad + offset, &h):
        plan.flags[thread * (CACHE_LINE // sizeof(int))] |= 2


cdef void run_sgd(BoundOp *op, Plan *plan, Step *step, ptrdiff_t thread,
                  ptrdiff_t n_threads) noexcept nogil:
    # grads, velocity, params: the flat vectors, or the same range of each; param[0] is the factor on the rate
    cdef ptrdiff_t i0, i1
    cut(op.n, 64, thread, n_threads, &i0, &i1)
    if i0 < i1:
        update(op, plan, step, thread, op.p[2] - plan.param + i0 * op.leaf.item_size, i1 - i0,
               step.lr * op.param[0])


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
    elif name == "GUARD":
        op.run = run_guard
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
