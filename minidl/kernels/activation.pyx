"""Activations and vector functions over whole arrays: drivers around the element-wise leaves.

The arithmetic stands in csrc/leaf/activation.inc.c and csrc/leaf/vmath.inc.c. A driver cuts an array
into runs, one or more per thread; the value of an element never depends on the cut.
"""

from cython.parallel cimport parallel, threadid

from minidl.kernels._leaf cimport Matrix, matrix, mdl_leaves, mdl_map_fn

cdef extern from "team.h" nogil:
    int mdl_team_size()

import numpy as np

from minidl import activations
from minidl.errors import ShapeError, unknown_name
from minidl.kernels import _leaf, threads
from minidl.kernels._leaf import check_floats

cdef dict TABLE = _leaf.activation_table()
cdef dict CODES = {name: code for code, name in enumerate(TABLE)}
cdef dict CALLS = {}
cdef dict VMATH = {name: code for code, name in enumerate(_leaf.vmath_names())}


cdef ActivationCall activation_call(object activation):
    """The code and parameters of an activation, from its record or any spelling of its name."""
    cdef ActivationCall call = CALLS.get(activation)
    if call is not None:
        return call
    record = activations.get(activation)
    if record.name not in CODES:
        raise unknown_name("activation", activation, CODES)
    call = ActivationCall.__new__(ActivationCall)
    call.code = CODES[record.name]
    call.saves_output = TABLE[record.name][0] == "output"
    for i, value in enumerate(record.params):
        call.param[i] = value
    CALLS[activation] = call
    return call


def activation(name, x, out=None, n_threads=None):
    """Apply an activation element by element: ``out = act(x)``.

    Parameters
    ----------
    name : str or minidl.activations.Activation
        For example "relu", "gelu", "leaky_relu(0.2)"; see :mod:`minidl.activations` for the formulas.
    x : ndarray of float32 or float64, any shape
    out : ndarray of the same shape and dtype, optional
        May be x itself.
    n_threads : int, optional

    Returns
    -------
    ndarray

    Raises
    ------
    OptionError, DtypeError, ShapeError

    Examples
    --------
    >>> import numpy as np
    >>> activation("relu", np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """
    return _forward(activation_call(name), x, out, False, n_threads)


def activation_gradient(name, x, out=None, n_threads=None):
    """Evaluate the derivative of an activation element by element: ``out = act'(x)``.

    Parameters and errors as for :func:`activation`. At a kink the value is PyTorch's: relu'(0) = 0.

    Examples
    --------
    >>> import numpy as np
    >>> activation_gradient("relu", np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 1.])
    """
    return _forward(activation_call(name), x, out, True, n_threads)


def activation_backward(name, dy, x, out=None):
    """Multiply a gradient by the derivative of an activation: ``out = dy * act'(x)``.

    Computed as training does it: from y = act(x) where the derivative is a function of y, else from the
    derivative saved by the forward pass.

    Examples
    --------
    >>> import numpy as np
    >>> activation_backward("tanh", np.array([2.0]), np.array([0.0]))
    array([2.])
    """
    cdef ActivationCall call = activation_call(name)
    dy = _input("dy", dy)
    x = _input("x", x)
    if dy.shape != x.shape or dy.dtype != x.dtype:
        raise ShapeError(f"dy has shape {dy.shape} of {dy.dtype} and x {x.shape} of {x.dtype}: "
                         "they must match.")
    saved = np.ascontiguousarray(_forward(call, x, None, not call.saves_output, 1))
    dy = np.ascontiguousarray(dy)
    result = np.empty_like(dy)
    cdef Matrix g = matrix(dy.reshape(-1)), s = matrix(saved.reshape(-1))
    cdef Matrix r = matrix(result.reshape(-1), True)
    with nogil:
        g.leaf.act_backward[call.code](1, g.cols, g.data, g.cols, s.data, s.cols,
                                       r.data, r.cols, call.param)
    return _deliver(result, out)


def vmath(name, x, out=None, n_threads=None):
    """Apply a vector function element by element.

    Parameters
    ----------
    name : {"exp", "expm1", "log", "log1p", "tanh", "sigmoid", "erf", "sin", "cos"}
        At most 4 ulp from the true value (2 for exp and log); NaN and infinities as NumPy.
    x : ndarray of float32 or float64, any shape
    out : ndarray of the same shape and dtype, optional
    n_threads : int, optional

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import numpy as np
    >>> vmath("exp", np.array([0.0, 1.0]))
    array([1.        , 2.71828183])
    """
    if name not in VMATH:
        raise unknown_name("name", name, VMATH)
    x = _input("x", x)
    dense = np.ascontiguousarray(x)
    result = _target(dense, out)
    cdef Matrix src = matrix(dense.reshape(-1)), dst = matrix(result.reshape(-1), True)
    cdef mdl_map_fn *function = src.leaf.vmath[<int> VMATH[name]]
    cdef ptrdiff_t n = src.cols, size = src.item_size
    cdef int team = _team(n_threads, 20.0 * n)
    with nogil:
        if team == 1:
            function(n, src.data, dst.data)
        else:
            with parallel(num_threads=team):
                _map_share(function, n, size, src.data, dst.data, threadid(), mdl_team_size())
    return _deliver(result, out)


cdef void _map_share(mdl_map_fn *function, ptrdiff_t n, ptrdiff_t size, const char *x, char *y,
                     ptrdiff_t thread, ptrdiff_t n_threads) noexcept nogil:
    cdef ptrdiff_t i0 = n * thread // n_threads, i1 = n * (thread + 1) // n_threads
    function(i1 - i0, x + i0 * size, y + i0 * size)


cdef void _forward_share(const mdl_leaves *leaf, int code, ptrdiff_t n, const char *x, char *y,
                         char *d, const double *param, ptrdiff_t thread,
                         ptrdiff_t n_threads) noexcept nogil:
    cdef ptrdiff_t i0 = n * thread // n_threads, i1 = n * (thread + 1) // n_threads
    cdef ptrdiff_t offset = i0 * leaf.item_size
    leaf.act_forward[code](1, i1 - i0, x + offset, n, y + offset, n,
                           NULL if d == NULL else d + offset, n, param)


cdef _forward(ActivationCall call, x, out, bint derivative, n_threads):
    """act(x), or act'(x) where derivative is set."""
    x = _input("x", x)
    dense = np.ascontiguousarray(x)
    result = _target(dense, out)
    value = np.empty_like(dense) if derivative else result
    cdef Matrix src = matrix(dense.reshape(-1)), y = matrix(value.reshape(-1), True)
    cdef Matrix d = matrix(result.reshape(-1), True)
    cdef char *d_data = d.data if derivative else NULL
    cdef ptrdiff_t n = src.cols
    cdef int team = _team(n_threads, 20.0 * n)
    with nogil:
        if team == 1:
            _forward_share(src.leaf, call.code, n, src.data, y.data, d_data, call.param, 0, 1)
        else:
            with parallel(num_threads=team):
                _forward_share(src.leaf, call.code, n, src.data, y.data, d_data, call.param,
                               threadid(), mdl_team_size())
    return _deliver(result, out)


cdef int _team(n_threads, double flops) except -1:
    return threads.team(flops) if n_threads is None else threads.explicit_team(n_threads)


cdef _input(name, x):
    check_floats(name, x)
    return x


cdef _target(dense, out):
    """The contiguous array that a kernel writes: out itself where its layout allows."""
    if out is None:
        return np.empty_like(dense)
    if not isinstance(out, np.ndarray) or out.shape != dense.shape or out.dtype != dense.dtype:
        raise ShapeError(f"out: expected shape {dense.shape} of {dense.dtype}, got "
                         f"{getattr(out, 'shape', None)} of {getattr(out, 'dtype', type(out))}.")
    return out if out.flags.c_contiguous and out.flags.writeable else np.empty_like(dense)


cdef _deliver(result, out):
    if out is None or out is result:
        return result
    out[...] = result
    return out
