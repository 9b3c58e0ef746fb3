"""Optimizer kernels: one pass over the flat vectors of parameters, gradients and state.

The formulas stand in :mod:`minidl.optim`, the arithmetic in csrc/leaf/update.inc.c.
"""

from minidl.kernels._leaf cimport Matrix, matrix, mdl_sgd

from minidl.errors import DtypeError, ShapeError
from minidl.kernels._leaf import check_floats


def sgd(param, velocity, grad, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False,
        first_step=False, stream=False):
    """One update of stochastic gradient descent, in place.

    ::

        g = grad + weight_decay * w
        v = momentum * v + (1 - dampening) * g      (v = g on the first step)
        w = w - lr * (g + momentum * v  if nesterov else v)

    Parameters
    ----------
    param, grad : contiguous ndarray of float32 or float64, 1-D
    velocity : like param, or None without momentum
    lr, momentum, dampening, weight_decay : float
    nesterov, first_step : bool
    stream : bool
        Write new parameters to memory, past the caches, if they begin on a cache line and the instruction set
        level can: better if other cores have read them. The numbers are the same.

    Returns
    -------
    bool
        True if an element was kept because its new value would not be finite.

    Examples
    --------
    >>> import numpy as np
    >>> w, v = np.array([1.0]), np.array([0.0])
    >>> sgd(w, v, np.array([0.5]), lr=0.1, momentum=0.9)
    False
    >>> w, v
    (array([0.95]), array([0.5]))
    """
    arrays = {"param": param, "grad": grad}
    if velocity is not None:
        arrays["velocity"] = velocity
    elif momentum != 0.0:
        raise ShapeError("velocity: momentum needs an array like param, got None.")
    for name, array in arrays.items():
        check_floats(name, array)
        if array.ndim != 1 or not array.flags.c_contiguous or array.shape != param.shape:
            raise ShapeError(f"{name}: expected a contiguous 1-D array like param "
                             f"{param.shape}, got {array.shape}.")
        if array.dtype != param.dtype:
            raise DtypeError(f"{name} is {array.dtype} and param is {param.dtype}.")
    cdef Matrix w = matrix(param, True), g = matrix(grad)
    cdef Matrix v = matrix(velocity, True) if velocity is not None else None
    cdef char *v_data = v.data if v is not None and momentum != 0.0 else NULL
    cdef mdl_sgd h
    h.lr = lr
    h.momentum = momentum
    h.dampening = dampening
    h.weight_decay = weight_decay
    h.nesterov = nesterov
    h.first_step = first_step
    h.stream = stream
    cdef int kept
    with nogil:
        kept = w.leaf.sgd(w.cols, w.data, v_data, g.data, &h)
    return bool(kept)
