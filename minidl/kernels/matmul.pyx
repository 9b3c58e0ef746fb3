"""Matrix multiplication: the loop nest around the register tile.

    c[i, j] = act(init[i, j] + sum_p a[i, p] b[p, j])        with the block rule of minidl-num-1

Three loops stand around the tile (csrc/leaf/gemm_tile.inc.c): blocks of rows, panels of columns, and
blocks of 256 along k. A panel of c stays in the L2 cache from its first k block to its epilogue (the
activation, or the derivative in the backward pass), so neither costs a pass over memory. b is read in
place where its rows are contiguous and not a multiple of the page size apart; else the panel is copied
(packed) first. a is read in place if either of its strides is 1.

Nothing here allocates, locks or fails: the caller owns the scratch memory and the thread team, and
passes each thread its own block of c.
"""

from cython.parallel cimport parallel, threadid
from libc.stdlib cimport free, malloc

from minidl.kernels._leaf cimport (
    MDL_ACT_identity, MDL_K_BLOCK, MDL_MAX_ROWS, Matrix, matrix, mdl_leaves,
)
from minidl.kernels.activation cimport ActivationCall, activation_call
from minidl.kernels.packing cimport packs

cdef extern from "team.h" nogil:
    int mdl_team_size()

import numpy as np

from minidl.errors import DtypeError, ShapeError
from minidl.kernels import threads
from minidl.kernels._leaf import check_floats

cdef ptrdiff_t ROW_BLOCK = 384      # rows of c per panel: 384 x 64 floats are 96 KB, inside L2
cdef ptrdiff_t PACK_STRIDE = 4096   # bytes between rows of b from which a panel is packed ...
cdef ptrdiff_t PACK_ROWS = 48       # ... if so many rows of c share the packed panel
cdef ptrdiff_t PANEL_BYTES = 64 * 256 * 4   # widest tile x k block; the same for both dtypes
cdef char zeros[4096]               # an init row of zeros


cdef ptrdiff_t scratch_bytes() noexcept nogil:
    return PANEL_BYTES + MDL_MAX_ROWS * MDL_K_BLOCK * 8


cdef void gemm(const mdl_leaves *leaf, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k,
               const char *a, ptrdiff_t a_row, ptrdiff_t a_col,
               const char *b, ptrdiff_t b_row, ptrdiff_t b_col,
               const char *init, ptrdiff_t ldi, char *c, ptrdiff_t ldc,
               const Epilogue *epilogue, char *scratch) noexcept nogil:
    """c (m x n, unit column stride) = epilogue(init + a b); init NULL means zero.

    Row i of init starts at init + i*ldi: ldi = 0 repeats a bias row. scratch holds scratch_bytes().
    """
    cdef ptrdiff_t size = leaf.item_size, lanes = leaf.lanes
    cdef ptrdiff_t vectors = (n + lanes - 1) // lanes
    cdef ptrdiff_t panels = (vectors + leaf.max_vecs - 1) // leaf.max_vecs
    cdef bint packed = b_col != 1 or packs(b_row * size >= PACK_STRIDE and m >= PACK_ROWS)
    cdef bint a_strided = a_col != 1 and a_row != 1
    cdef bint transposed = a_col != 1 and a_row == 1
    cdef ptrdiff_t lda = a_col if transposed else a_row
    cdef char *b_panel = scratch
    cdef char *a_tile = scratch + PANEL_BYTES
    cdef ptrdiff_t i0, i1, j0, j1, p0, kb, i, rows, tiles, t, width, vecs, panel, ldb, ldfrom
    cdef const char *b_block
    cdef const char *a_block
    cdef const char *start
    cdef char *to

    i0 = 0
    while i0 < m:
        i1 = min(i0 + ROW_BLOCK, m)
        for panel in range(panels):
            # panels differ by at most one vector, so no panel is left with a single narrow column
            j0 = vectors * panel // panels * lanes
            j1 = min(vectors * (panel + 1) // panels * lanes, n)
            width = j1 - j0
            vecs = (width + lanes - 1) // lanes
            tiles = (i1 - i0 + leaf.max_rows[vecs] - 1) // leaf.max_rows[vecs]
            p0 = 0
            while True:
                kb = min(MDL_K_BLOCK, k - p0)
                b_block = b + (p0 * b_row + j0 * b_col) * size
                ldb = b_row
                if packed:
                    leaf.pack(kb, width, b_block, b_row, b_col, b_panel, vecs * lanes)
                    b_block = b_panel
                    ldb = vecs * lanes
                i = i0
                for t in range(tiles):  # tiles differ by at most one row
                    rows = i0 + (i1 - i0) * (t + 1) // tiles - i
                    a_block = a + (i * a_row + p0 * a_col) * size
                    to = c + (i * ldc + j0) * size
                    if p0 > 0:
                        start = to
                        ldfrom = ldc
                    elif init == NULL:
                        start = zeros
                        ldfrom = 0
                    else:
                        start = init + (i * ldi + j0) * size
                        ldfrom = ldi
                    if a_strided:
                        leaf.pack(rows, kb, a_block, a_row, a_col, a_tile, MDL_K_BLOCK)
                        leaf.tile[0][rows][vecs](width, kb, a_tile, MDL_K_BLOCK, b_block, ldb,
                                                 start, ldfrom, to, ldc)
                    else:
                        leaf.tile[transposed][rows][vecs](width, kb, a_block, lda, b_block, ldb,
                                                          start, ldfrom, to, ldc)
                    i += rows
                p0 += kb
                if p0 >= k:
                    break
            if epilogue == NULL:
                continue
            to = c + (i0 * ldc + j0) * size
            if epilogue.forward != NULL:
                epilogue.forward(
                    i1 - i0, width, to, ldc, to, ldc,
                    NULL if epilogue.saved == NULL
                    else epilogue.saved + (i0 * epilogue.lds + j0) * size,
                    epilogue.lds, epilogue.param)
            if epilogue.backward != NULL:
                epilogue.backward(
                    i1 - i0, width, to, ldc,
                    epilogue.saved + (i0 * epilogue.lds + j0) * size, epilogue.lds,
                    to, ldc, epilogue.param)
        i0 = i1


cdef void gemm_share(const mdl_leaves *leaf, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k,
                     const char *a, ptrdiff_t a_row, ptrdiff_t a_col,
                     const char *b, ptrdiff_t b_row, ptrdiff_t b_col,
                     const char *init, ptrdiff_t ldi, char *c, ptrdiff_t ldc,
                     const Epilogue *epilogue, char *scratch,
                     ptrdiff_t thread, ptrdiff_t n_threads) noexcept nogil:
    """One thread's share of a stand-alone product: rows if there are enough, else columns."""
    cdef ptrdiff_t i0 = 0, i1 = m, j0 = 0, j1 = n, unit
    if m >= n_threads * MDL_MAX_ROWS or m >= n:
        i0 = m * thread // n_threads
        i1 = m * (thread + 1) // n_threads
    else:
        unit = (n + leaf.lanes - 1) // leaf.lanes
        j0 = unit * thread // n_threads * leaf.lanes
        j1 = min(unit * (thread + 1) // n_threads * leaf.lanes, n)
    cdef ptrdiff_t size = leaf.item_size
    if init != NULL:
        init += (i0 * ldi + j0) * size
    if i0 < i1 and j0 < j1:
        gemm(leaf, i1 - i0, j1 - j0, k, a + i0 * a_row * size, a_row, a_col,
             b + j0 * b_col * size, b_row, b_col, init, ldi, c + (i0 * ldc + j0) * size, ldc,
             epilogue, scratch)


def matmul(a, b, out=None, transpose_a=False, transpose_b=False, bias=None, activation=None,
           n_threads=None):
    """Matrix product with bias and activation: ``act(op(a) @ op(b) + bias)``.

    Every element is computed as minidl-num-1 says, so the bits do not depend on the number of threads,
    the instruction set (with FMA), the strides, or the other rows::

        s = bias;  for each block of 256 along k:  p = +0;  p = fma(a_k, b_k, p) ...;  s = s + p

    Parameters
    ----------
    a : ndarray of float32 or float64, shape (m, k), or (k, m) with transpose_a
    b : ndarray of the same dtype, shape (k, n), or (n, k) with transpose_b
        Any strides; nothing is copied.
    out : ndarray of shape (m, n), optional
        Written and returned; must not overlap the inputs.
    transpose_a, transpose_b : bool
        Use the transpose of the argument.
    bias : ndarray of shape (n,), optional
    activation : str or minidl.activations.Activation, optional
        Applied to the result, for example "relu" or "leaky_relu(0.2)".
    n_threads : int, optional
        Default: one thread for small products, else :func:`minidl.get_num_threads`.

    Returns
    -------
    ndarray of shape (m, n)

    Raises
    ------
    ShapeError, DtypeError
        Naming the argument, what was expected and what came.

    Examples
    --------
    >>> import numpy as np
    >>> a = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> matmul(a, a, bias=np.array([-10.0, 0.0]), activation="relu")
    array([[ 0., 10.],
           [ 5., 22.]])
    """
    if transpose_a:
        a = a.T
    if transpose_b:
        b = b.T
    _check_matrix("a", a)
    _check_matrix("b", b)
    if a.shape[1] != b.shape[0]:
        raise ShapeError(
            f"a has shape {a.shape} and b has shape {b.shape} (after transposition): "
            f"the {a.shape[1]} columns of a must match the {b.shape[0]} rows of b.")
    if a.dtype != b.dtype:
        raise DtypeError(f"a is {a.dtype} and b is {b.dtype}: convert one of them.")
    shape = (a.shape[0], b.shape[1])
    if out is None:
        out = np.empty(shape, a.dtype)
    else:
        _check_matrix("out", out)
        if out.shape != shape or out.dtype != a.dtype:
            raise ShapeError(f"out: expected shape {shape} of {a.dtype}, "
                             f"got {out.shape} of {out.dtype}.")
        if np.may_share_memory(out, a) or np.may_share_memory(out, b):
            raise ShapeError("out overlaps an input: pass another array.")
    # the kernel wants unit column stride: otherwise a temporary takes the result
    target = out if out.strides[1] == out.itemsize or out.shape[1] <= 1 else np.empty(shape, a.dtype)

    cdef Matrix av = _view(a), bv = _view(b), cv = matrix(target, True)
    cdef Matrix bias_view = None
    cdef const char *init = NULL
    if bias is not None:
        if bias.ndim != 1 or bias.shape[0] != shape[1] or bias.dtype != a.dtype:
            raise ShapeError(f"bias: expected shape ({shape[1]},) of {a.dtype}, "
                             f"got {bias.shape} of {bias.dtype}.")
        bias_view = matrix(np.ascontiguousarray(bias))
        init = bias_view.data

    cdef ActivationCall call = activation_call("identity" if activation is None else activation)
    cdef Epilogue epilogue
    epilogue.forward = NULL if call.code == MDL_ACT_identity else av.leaf.act_forward[call.code]
    epilogue.backward = NULL
    epilogue.saved = NULL
    epilogue.lds = 0
    epilogue.param = call.param

    cdef ptrdiff_t m = av.rows, n = bv.cols, k = av.cols
    cdef int team
    if n_threads is None:
        team = threads.team(2.0 * m * n * k)
    else:
        team = threads.explicit_team(n_threads)
    cdef char *scratch = <char *> malloc(team * scratch_bytes())
    if scratch == NULL:
        raise MemoryError("matmul: no memory for scratch")
    try:
        with nogil:
            if team == 1:
                gemm_share(av.leaf, m, n, k, av.data, av.row_stride, av.col_stride,
                           bv.data, bv.row_stride, bv.col_stride, init, 0,
                           cv.data, cv.row_stride, &epilogue, scratch, 0, 1)
            else:
                with parallel(num_threads=team):
                    gemm_share(av.leaf, m, n, k, av.data, av.row_stride, av.col_stride,
                               bv.data, bv.row_stride, bv.col_stride, init, 0,
                               cv.data, cv.row_stride, &epilogue,
                               scratch + threadid() * scratch_bytes(),
                               threadid(), mdl_team_size())
    finally:
        free(scratch)
    if target is not out:
        out[...] = target
    return out


cdef Matrix _view(array):
    """Borrow a matrix; strides that are no multiple of the item size cost a copy."""
    if array.strides[0] % array.itemsize or array.strides[1] % array.itemsize:
        array = np.ascontiguousarray(array)
    return matrix(array)


def _check_matrix(name, array):
    check_floats(name, array)
    if array.ndim != 2:
        raise ShapeError(f"{name}: expected 2 dimensions, got shape {array.shape}.")
