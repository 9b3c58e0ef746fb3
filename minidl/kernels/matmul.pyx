"""Matrix products by themselves: :func:`matmul` checks and borrows arrays, and shares c among the threads.

What each thread does with its block of c is minidl/kernels/gemm.pyx.
"""

from cython.parallel cimport parallel, threadid
from libc.stdlib cimport free

cimport numpy as cnp

from minidl.kernels._leaf cimport MDL_ACT_identity, leaves, mdl_leaves
from minidl.kernels.activation cimport ActivationCall, activation_call
from minidl.kernels.burst cimport Burst, burst_of_thread
from minidl.kernels.gemm cimport Epilogue, Product, ceil_div, gemm, no_epilogue, plan_product, scratch_bytes

cdef extern from "scratch.h" nogil:
    void *mdl_huge_pages(size_t pages)

cdef extern from "team.h" nogil:
    int mdl_team_size()
    double mdl_seconds()

import numpy as np

from minidl.errors import DtypeError, ShapeError
from minidl.kernels import threads
from minidl.kernels._leaf import check_floats

cnp.import_array()

cdef double SERIAL_FLOPS = threads.SERIAL_FLOPS
cdef double AWAKE_SERIAL_FLOPS = threads.AWAKE_SERIAL_FLOPS  # smaller products need not ask for a team
cdef double HOLD_GIL_FLOPS = 1e5    # products below this do not even release the GIL


cdef void share(const mdl_leaves *leaf, const View *a, const View *b, const View *c, const char *init,
                const Epilogue *epilogue, char *scratch, ptrdiff_t thread,
                ptrdiff_t n_threads) noexcept nogil:
    """One thread's block of c: cut into a grid whose blocks need the fewest rows of a and columns of b."""
    cdef ptrdiff_t size = leaf.item_size, m = c.rows, n = c.cols, units = ceil_div(n, leaf.lanes)
    cdef ptrdiff_t down = 1, across, best = -1, cost, candidate
    for candidate in range(1, n_threads + 1):
        if n_threads % candidate == 0:
            cost = (ceil_div(m, candidate)
                    + ceil_div(units, n_threads // candidate) * leaf.lanes)
            if best < 0 or cost < best:
                best = cost
                down = candidate
    across = n_threads // down
    cdef ptrdiff_t row = thread // across, column = thread % across
    cdef ptrdiff_t i0 = m * row // down, i1 = m * (row + 1) // down
    cdef ptrdiff_t j0 = min(n, units * column // across * leaf.lanes)
    cdef ptrdiff_t j1 = min(n, units * (column + 1) // across * leaf.lanes)
    cdef Product p
    if i0 == i1 or j0 == j1:
        return
    plan_product(&p, leaf, i1 - i0, j1 - j0, a.cols, a.row_stride, a.col_stride, b.row_stride,
                 b.col_stride, (<size_t> b.data) % 64 == 0)
    if init != NULL:
        init += j0 * size
    gemm(&p, a.data + i0 * a.row_stride * size, b.data + j0 * b.col_stride * size, init,
         c.data + (i0 * c.row_stride + j0) * size, c.row_stride, epilogue, scratch)


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
    cdef View av, bv, cv
    a = view_of("a", a, &av, True)
    b = view_of("b", b, &bv, True)
    if transpose_a:
        flip(&av)
    if transpose_b:
        flip(&bv)
    if av.cols != bv.rows:
        raise ShapeError(
            f"a has shape ({av.rows}, {av.cols}) and b has shape ({bv.rows}, {bv.cols}) (after "
            f"transposition): the {av.cols} columns of a must match the {bv.rows} rows of b.")
    if av.type != bv.type:
        raise DtypeError(f"a is {a.dtype} and b is {b.dtype}: convert one of them.")
    cdef cnp.npy_intp shape[2]
    shape[0] = av.rows
    shape[1] = bv.cols
    if out is None:
        out = cnp.PyArray_EMPTY(2, shape, av.type, 0)
        view_of("out", out, &cv, False)
    else:
        view_of("out", out, &cv, False)
        if cv.rows != av.rows or cv.cols != bv.cols or cv.type != av.type:
            raise ShapeError(f"out: expected shape ({av.rows}, {bv.cols}) of {a.dtype}, "
                             f"got {out.shape} of {out.dtype}.")
        if not cnp.PyArray_ISWRITEABLE(out):
            raise ShapeError("out is read-only: pass another array.")
        if overlap(&cv, &av) or overlap(&cv, &bv):
            raise ShapeError("out overlaps an input: pass another array.")
    target = out
    if cv.col_stride != 1:  # the kernel wants unit column stride: a temporary takes the result
        target = cnp.PyArray_EMPTY(2, shape, av.type, 0)
        view_of("out", target, &cv, False)

    cdef const mdl_leaves *leaf = leaves(av.type == cnp.NPY_DOUBLE)
    cdef const char *init = NULL
    if bias is not None:
        if (not isinstance(bias, np.ndarray) or bias.ndim != 1 or bias.shape[0] != bv.cols
                or bias.dtype != a.dtype):
            raise ShapeError(f"bias: expected shape ({bv.cols},) of {a.dtype}, got "
                             f"{getattr(bias, 'shape', type(bias).__name__)} of "
                             f"{getattr(bias, 'dtype', 'no dtype')}.")
        bias = np.ascontiguousarray(bias)
        init = <const char *> cnp.PyArray_DATA(bias)

    cdef Epilogue epilogue = no_epilogue()
    cdef ActivationCall call
    if activation is not None:
        call = activation_call(activation)
        epilogue.param = call.param
        if call.code != MDL_ACT_identity:
            epilogue.forward = leaf.act_forward[call.code]

    cdef double flops = 2.0 * cv.rows * cv.cols * av.cols
    cdef int team = 1
    cdef Burst burst = None
    cdef double start = 0.0
    if n_threads is not None:
        team = threads.explicit_team(n_threads)
    elif flops >= AWAKE_SERIAL_FLOPS:
        burst = burst_of_thread()
        start = mdl_seconds()
        team = threads.team(flops, burst.is_awake(start))
    cdef int room = team
    cdef char *scratch = take_scratch(&room)
    if team == 1 and flops < HOLD_GIL_FLOPS:
        share(leaf, &av, &bv, &cv, init, &epilogue, scratch, 0, 1)
    else:
        with nogil:
            if team == 1:
                share(leaf, &av, &bv, &cv, init, &epilogue, scratch, 0, 1)
            else:
                with parallel(num_threads=team):
                    share(leaf, &av, &bv, &cv, init, &epilogue,
                          scratch + threadid() * scratch_bytes(), threadid(), mdl_team_size())
    give_scratch(scratch, room)
    if burst is not None:
        burst.note(start, mdl_seconds(), flops, team, flops >= SERIAL_FLOPS)
    if target is not out:
        out[...] = target
    return out


cdef object view_of(str name, object array, View *view, bint may_copy):
    """Borrow a matrix; return the array that owns the memory, which the view must not outlive."""
    if not cnp.PyArray_Check(array) or cnp.PyArray_ISBYTESWAPPED(array):
        check_floats(name, array)
    view.type = cnp.PyArray_TYPE(array)
    if view.type != cnp.NPY_FLOAT and view.type != cnp.NPY_DOUBLE:
        check_floats(name, array)
    if cnp.PyArray_NDIM(array) != 2:
        raise ShapeError(f"{name}: expected 2 dimensions, got shape {array.shape}.")
    cdef ptrdiff_t size = 8 if view.type == cnp.NPY_DOUBLE else 4
    cdef cnp.npy_intp *strides = cnp.PyArray_STRIDES(array)
    if strides[0] % size or strides[1] % size:
        if not may_copy:
            raise ShapeError(f"{name}: expected strides that are multiples of {size} bytes, got "
                             f"{array.strides}: pass another array.")
        array = np.array(array, order="C")
        strides = cnp.PyArray_STRIDES(array)
    if not cnp.PyArray_ISALIGNED(array):
        check_floats(name, array)
    view.data = <char *> cnp.PyArray_DATA(array)
    view.size = size
    view.rows = cnp.PyArray_DIM(array, 0)
    view.cols = cnp.PyArray_DIM(array, 1)
    # the stride of a single row or column means nothing
    view.row_stride = strides[0] // size if view.rows > 1 else max(view.cols, 1)
    view.col_stride = strides[1] // size if view.cols > 1 else 1
    return array


cdef inline void flip(View *view) noexcept:
    view.rows, view.cols = view.cols, view.rows
    view.row_stride, view.col_stride = view.col_stride, view.row_stride


cdef bint overlap(const View *a, const View *b) noexcept:
    """True if the memory between the first and the last byte of two matrices has a byte in common."""
    return (a.rows > 0 and a.cols > 0 and b.rows > 0 and b.cols > 0
            and low(a) < high(b) and low(b) < high(a))


cdef inline const char *low(const View *view) noexcept:
    return view.data + (min(0, (view.rows - 1) * view.row_stride)
                        + min(0, (view.cols - 1) * view.col_stride)) * view.size


cdef inline const char *high(const View *view) noexcept:
    return view.data + (max(0, (view.rows - 1) * view.row_stride)
                        + max(0, (view.cols - 1) * view.col_stride) + 1) * view.size


# Scratch memory of the last product, kept for the next one; whoever finds none makes its own. The GIL is
# held wherever these are touched.
cdef char *spare = NULL
cdef int spare_team = 0


cdef char *take_scratch(int *team) except NULL:
    """Scratch memory for a team of at least that size; team is set to what it is good for."""
    global spare
    cdef char *scratch = spare
    if scratch != NULL and spare_team >= team[0]:
        team[0] = spare_team
        spare = NULL
        return scratch
    scratch = <char *> mdl_huge_pages(team[0])
    if scratch == NULL:
        raise MemoryError("matmul: no memory for scratch")
    return scratch


cdef void give_scratch(char *scratch, int team) noexcept:
    global spare, spare_team
    free(spare)
    spare = scratch
    spare_team = team
