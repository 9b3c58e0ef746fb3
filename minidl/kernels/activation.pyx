"""Activations and vector functions over whole arrays: drivers around the element-wise leaves.

The arithmetic stands in csrc/leaf/activation.inc.c and csrc/leaf/vmath.inc.c. A driver cuts an array
into one share per thread, and a share into strips that stay in the L1 cache: intermediate results need no
array, and a result larger than the caches goes to memory by streaming stores. The value of an element
never depends on the cut.
"""

from cython.parallel cimport parallel, threadid

from minidl.kernels._leaf cimport Matrix, leaves, matrix, mdl_act_backward_fn, mdl_act_forward_fn, mdl_map_fn

cdef extern from "team.h" nogil:
    int mdl_team_size()

cdef extern from "stream.h" nogil:
    enum:
        MDL_LINE
    void mdl_stream_copy(char *to, const char *source, ptrdiff_t n_bytes, const char *next_read)
    void mdl_stream_end()

import numpy as np

from minidl import activations
from minidl.errors import ShapeError, unknown_name
from minidl.kernels import _leaf, threads
from minidl.kernels._leaf import check_floats

cdef enum:
    STRIP = 2048  # bytes that wait in L1
    STREAM_STRIP = 1024  # ... for streaming: short, so that arithmetic overlaps the stores of other strips
    PAGE = 4096
    PAGES = 4  # that are streamed in turn
    STREAM = 16 << 20  # bytes of a result that would push everything else out of most L3 caches


cdef struct Job:
    mdl_map_fn *function  # one of these two is NULL
    mdl_act_forward_fn *forward
    mdl_act_backward_fn *backward  # where a gradient is multiplied by the derivative
    const double *param
    bint derivative, saves_output, stream
    ptrdiff_t n, item_size
    const char *x
    const char *dy
    char *out


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


def activation_backward(name, dy, x, out=None, n_threads=None):
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
    dy = np.ascontiguousarray(dy)
    cdef Matrix g = matrix(dy.reshape(-1))
    cdef Job job
    job.function = NULL
    job.forward = g.leaf.act_forward[call.code]
    job.backward = g.leaf.act_backward[call.code]
    job.param = call.param
    job.saves_output = call.saves_output
    job.dy = g.data
    return _apply(&job, x, out, n_threads)


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
    cdef Job job
    job.function = leaves(x.dtype.char == "d").vmath[<int> VMATH[name]]
    job.dy = NULL
    return _apply(&job, x, out, n_threads)


cdef _forward(ActivationCall call, x, out, bint derivative, n_threads):
    """act(x), or act'(x) where derivative is set."""
    x = _input("x", x)
    cdef Job job
    job.function = NULL
    job.forward = leaves(x.dtype.char == "d").act_forward[call.code]
    job.backward = NULL
    job.param = call.param
    job.derivative = derivative
    job.dy = NULL
    return _apply(&job, x, out, n_threads)


cdef _apply(Job *job, x, out, n_threads):
    dense = np.ascontiguousarray(x)
    result = _target(dense, out)
    cdef Matrix src = matrix(dense.reshape(-1)), dst = matrix(result.reshape(-1), True)
    job.n = src.cols
    job.item_size = src.item_size
    job.x = src.data
    job.out = dst.data
    # what is written where it was read is in the cache already
    job.stream = job.n * job.item_size >= STREAM and job.out != job.x and job.out != job.dy
    cdef int team = threads.team(20.0 * job.n) if n_threads is None else threads.explicit_team(n_threads)
    with nogil:
        if team == 1:
            _share(job, 0, 1)
        else:
            with parallel(num_threads=team):
                _share(job, threadid(), mdl_team_size())
    return _deliver(result, out)


cdef void _share(const Job *job, ptrdiff_t thread, ptrdiff_t n_threads) noexcept nogil:
    """The share of one thread, strip by strip where something has to wait in the L1 cache."""
    cdef ptrdiff_t i = job.n * thread // n_threads, end = job.n * (thread + 1) // n_threads
    cdef ptrdiff_t size = job.item_size, page = PAGE // size, n = 0, k, q
    cdef bint in_strips = job.stream or job.dy != NULL or (job.function == NULL and job.derivative)
    if job.stream:
        n = min(end - i, <ptrdiff_t> (-<size_t> (job.out + i * size) % MDL_LINE) // size)
        _strip(job, i, n)  # up to the beginning of a cache line
        i += n
        n = STREAM_STRIP // size
        while i + PAGES * page <= end:  # several pages in turn: memory serves them side by side
            for k in range(PAGE // STREAM_STRIP):
                for q in range(PAGES):
                    _strip(job, i + q * page + k * n, n)
            i += PAGES * page
    while i < end:
        n = min(end - i, STRIP // size) if in_strips else end - i
        _strip(job, i, n)
        i += n
    if job.stream:
        mdl_stream_end()


cdef void _strip(const Job *job, ptrdiff_t i, ptrdiff_t n) noexcept nogil:
    """n elements from i on; where they are streamed, those that follow in a while are fetched."""
    cdef ptrdiff_t size = job.item_size
    cdef char waiting[3][STRIP]
    cdef const char *x = job.x + i * size
    cdef char *to = job.out + i * size
    cdef char *target = to
    if job.stream:
        target = waiting[0]
    if job.function != NULL:
        job.function(n, x, target)
    elif job.dy == NULL:
        if job.derivative:
            job.forward(1, n, x, n, waiting[1], n, target, n, job.param)
        else:
            job.forward(1, n, x, n, target, n, NULL, n, job.param)
    else:
        job.forward(1, n, x, n, waiting[1], n, NULL if job.saves_output else waiting[2], n, job.param)
        job.backward(1, n, job.dy + i * size, n, waiting[1 if job.saves_output else 2], n, target, n,
                     job.param)
    if job.stream:
        mdl_stream_copy(to, target, n * size, x + PAGES * PAGE)


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
