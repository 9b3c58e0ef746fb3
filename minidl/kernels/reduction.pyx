"""Reductions over rows and columns, in the fixed orders of minidl-num-1, and softmax by rows.

A row is summed over 16 virtual lanes (8 in float64) and a fixed tree, a column in blocks of 256 rows:
csrc/leaf/reduce.inc.c. Threads take whole rows or whole columns, so the bits never depend on them.
"""

from libc.stdint cimport int64_t

from minidl.kernels._leaf cimport Matrix, data_of, matrix, mdl_row_reduce_fn, mdl_softmax_fn

import numpy as np

from minidl.errors import ShapeError, unknown_name
from minidl.kernels._leaf import check_floats


def reduce(op, x, axis, out=None):
    """Sum or maximum of the rows (axis 1) or columns (axis 0) of a matrix.

    Parameters
    ----------
    op : {"sum", "max"}
        A maximum propagates NaN; the maximum of nothing is -inf.
    x : ndarray of float32 or float64, shape (rows, columns)
    axis : {0, 1}
    out : ndarray of shape (columns,) for axis 0, (rows,) for axis 1, optional

    Returns
    -------
    ndarray

    Raises
    ------
    OptionError, DtypeError, ShapeError

    Examples
    --------
    >>> import numpy as np
    >>> reduce("sum", np.array([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    array([4., 6.])
    """
    if op not in ("sum", "max"):
        raise unknown_name("op", op, ("sum", "max"))
    if axis not in (0, 1):
        raise unknown_name("axis", axis, ("0", "1"))
    x = rows_of("x", x)
    length = x.shape[1 - axis]
    if out is None:
        out = np.empty(length, x.dtype)
    elif out.shape != (length,) or out.dtype != x.dtype:
        raise ShapeError(f"out: expected shape ({length},) of {x.dtype}, "
                         f"got {out.shape} of {out.dtype}.")
    result = np.ascontiguousarray(out)
    cdef Matrix src = matrix(x), dst = matrix(result, True)
    cdef bint is_sum = op == "sum"
    cdef mdl_row_reduce_fn *by_row = src.leaf.row_sum if is_sum else src.leaf.row_max
    cdef bint by_column = axis == 0
    if by_column and not is_sum and src.rows == 0:
        result[:] = -np.inf
    else:
        with nogil:
            if not by_column:
                by_row(src.rows, src.cols, src.data, src.row_stride, dst.data)
            elif is_sum:
                src.leaf.col_sum(src.rows, src.cols, src.data, src.row_stride, NULL, dst.data)
            else:
                src.leaf.col_max(src.rows, src.cols, src.data, src.row_stride, dst.data)
    if result is not out:
        out[:] = result
    return out


def argmax(x):
    """Index of the largest element of each row; the lowest index wins a tie.

    Examples
    --------
    >>> import numpy as np
    >>> argmax(np.array([[0.1, 0.7, 0.7]]))
    array([1])
    """
    x = rows_of("x", x)
    if x.shape[1] == 0 and x.shape[0] > 0:
        raise ShapeError(f"x has shape {x.shape}: no largest element in an empty row.")
    result = np.empty(x.shape[0], np.int64)
    cdef Matrix src = matrix(x)
    cdef int64_t *indices = <int64_t *> data_of(result, "lq", True)
    with nogil:
        src.leaf.row_argmax(src.rows, src.cols, src.data, src.row_stride, indices)
    return result


def all_finite(x):
    """True if no element of a matrix is NaN or infinite.

    Examples
    --------
    >>> import numpy as np
    >>> all_finite(np.array([[1.0, np.inf]]))
    False
    """
    cdef Matrix src = matrix(rows_of("x", x))
    cdef int finite
    with nogil:
        finite = src.leaf.all_finite(src.rows, src.cols, src.data, src.row_stride)
    return bool(finite)


def softmax(z, out=None):
    """Softmax of each row: ``exp(z_j - max z) / sum_k exp(z_k - max z)``.

    Examples
    --------
    >>> import numpy as np
    >>> softmax(np.array([[0.0, 0.0]]))
    array([[0.5, 0.5]])
    """
    return _softmax(z, out, False)


def log_softmax(z, out=None):
    """Logarithm of the softmax of each row: ``(z_j - max z) - log sum_k exp(z_k - max z)``.

    Examples
    --------
    >>> import numpy as np
    >>> log_softmax(np.array([[0.0, 0.0]]))
    array([[-0.69314718, -0.69314718]])
    """
    return _softmax(z, out, True)


def softmax_backward(dy, y):
    """Gradient of softmax: ``dz = y * (dy - sum_k dy_k y_k)`` by rows.

    Examples
    --------
    >>> import numpy as np
    >>> softmax_backward(np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]]))
    array([[ 0.25, -0.25]])
    """
    dy = rows_of("dy", dy)
    y = rows_of("y", y)
    if dy.shape != y.shape or dy.dtype != y.dtype:
        raise ShapeError(f"dy has shape {dy.shape} of {dy.dtype} and y {y.shape} of {y.dtype}: "
                         "they must match.")
    result = np.empty_like(y, order="C")
    cdef Matrix g = matrix(dy), p = matrix(y), r = matrix(result, True)
    with nogil:
        g.leaf.softmax_backward(g.rows, g.cols, g.data, g.row_stride, p.data, p.row_stride,
                                r.data, r.row_stride)
    return result


cdef _softmax(z, out, bint log):
    z = rows_of("z", z)
    if out is not None and (out.shape != z.shape or out.dtype != z.dtype):
        raise ShapeError(f"out: expected shape {z.shape} of {z.dtype}, got {out.shape} of {out.dtype}.")
    result = np.empty_like(z, order="C")
    cdef Matrix src = matrix(z), dst = matrix(result, True)
    cdef mdl_softmax_fn *function = src.leaf.log_softmax if log else src.leaf.softmax
    with nogil:
        function(src.rows, src.cols, src.data, src.row_stride, dst.data, dst.row_stride)
    if out is None:
        return result
    out[...] = result
    return out


def rows_of(name, x):
    """Check a matrix argument; copy it only if its rows are not contiguous."""
    check_floats(name, x)
    if x.ndim != 2:
        raise ShapeError(f"{name}: expected 2 dimensions, got shape {x.shape}.")
    direct = (x.strides[1] == x.itemsize or x.shape[1] <= 1) and x.strides[0] % x.itemsize == 0
    return x if direct else np.ascontiguousarray(x)
