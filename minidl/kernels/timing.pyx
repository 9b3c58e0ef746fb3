"""How long a kernel takes, without Python in between.

A call from Python costs about a microsecond, more than a small product. Here the clock is read, the kernel
runs many times, and the clock is read again, all without the GIL.
"""

from cython.parallel cimport parallel, threadid

from minidl.kernels._leaf cimport leaves, mdl_leaves
from minidl.kernels.gemm cimport scratch_bytes
from minidl.kernels.matmul cimport View, give_scratch, share, take_scratch, view_of

cdef extern from "team.h" nogil:
    int mdl_team_size()
    double mdl_seconds()

from minidl.errors import ShapeError
from minidl.kernels import threads
from minidl.kernels.matmul import matmul
from minidl.options import count


def matmul_seconds(a, b, out, repeats=1, n_threads=None):
    """Mean time of the matrix product ``out = a @ b``, without the Python call around it.

    Parameters
    ----------
    a, b, out : ndarray
        As for :func:`minidl.kernels.matmul`; pass ``x.T`` for a transpose. out needs contiguous rows, and
        receives the product.
    repeats : int
        Products between the two readings of the clock.
    n_threads : int, optional
        As for :func:`minidl.kernels.matmul`. With several, each product is one parallel region.

    Returns
    -------
    float
        Seconds per product.

    Raises
    ------
    ShapeError, DtypeError, OptionError
        As :func:`minidl.kernels.matmul` does.

    Examples
    --------
    >>> import numpy as np
    >>> a, out = np.eye(8), np.empty((8, 8))
    >>> matmul_seconds(a, a, out, repeats=10) > 0
    True
    >>> np.array_equal(out, a)
    True
    """
    cdef ptrdiff_t n = count("repeats", repeats, 1), _
    cdef int team
    matmul(a, b, out=out, n_threads=n_threads)  # checks the arguments, and warms up
    if out.shape[1] > 1 and out.strides[1] != out.itemsize:
        raise ShapeError(f"out: expected contiguous rows, got strides {out.strides}.")
    cdef View av, bv, cv
    a = view_of("a", a, &av, True)
    b = view_of("b", b, &bv, True)
    view_of("out", out, &cv, False)
    cdef const mdl_leaves *leaf = leaves(av.size == 8)
    cdef double started, stopped
    if n_threads is None:
        team = threads.team(2.0 * av.rows * bv.cols * av.cols, awake=n > 1)
    else:
        team = threads.explicit_team(n_threads)
    cdef int room = team
    cdef char *scratch = take_scratch(&room)
    with nogil:
        started = mdl_seconds()
        for _ in range(n):
            if team == 1:
                share(leaf, &av, &bv, &cv, NULL, NULL, scratch, 0, 1)
            else:
                with parallel(num_threads=team):
                    share(leaf, &av, &bv, &cv, NULL, NULL, scratch + threadid() * scratch_bytes(),
                          threadid(), mdl_team_size())
        stopped = mdl_seconds()
    give_scratch(scratch, room)
    return (stopped - started) / n
