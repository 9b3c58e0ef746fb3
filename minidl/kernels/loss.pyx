"""Loss kernels: the loss and the gradient of each row of outputs, in one pass.

The formulas stand in :mod:`minidl.losses`, the arithmetic in csrc/leaf/loss.inc.c.
"""

from minidl.kernels._leaf cimport Matrix, data_of, matrix, mdl_loss_fn

import numpy as np

from minidl.errors import DataError, DtypeError, ShapeError, unknown_name
from minidl.kernels import _leaf
from minidl.kernels.reduction import rows_of

cdef dict CODES = {name: code for code, name in enumerate(_leaf.loss_names())}


def loss(name, z, target, weight=None, scale=1.0, param=0.0, gradient=True):
    """Evaluate a loss kernel on a batch of outputs.

    Parameters
    ----------
    name : str
        "cross_entropy_label", "cross_entropy_probability", "binary_cross_entropy", "mse", "mae", "huber".
    z : ndarray of float32 or float64, shape (rows, outputs)
        Outputs; logits for the cross entropies.
    target : ndarray
        int64 labels of shape (rows,) for cross_entropy_label, else an array like z.
    weight : ndarray of shape (rows,), optional
        Weight of each row, in the dtype of z.
    scale : float
        Factor of the gradient, usually 1 / (sum of the weights).
    param : float
        Label smoothing of the cross entropies, delta of huber.
    gradient : bool
        Also compute dz.

    Returns
    -------
    losses : ndarray of float64, shape (rows,)
        weight * loss of each row, without scale.
    hits : ndarray of float64, shape (rows,)
        Share of right answers in each row; 0 for losses without an accuracy.
    dz : ndarray like z, or None
        scale * weight * d(loss of the row) / dz.

    Raises
    ------
    OptionError, DtypeError, ShapeError, DataError

    Examples
    --------
    >>> import numpy as np
    >>> losses, hits, dz = loss("mse", np.array([[1.0, 3.0]]), np.array([[1.0, 1.0]]))
    >>> losses, dz
    (array([2.]), array([[0., 2.]]))
    """
    if name not in CODES:
        raise unknown_name("name", name, CODES)
    z = rows_of("z", z)
    rows, outputs = z.shape
    if outputs == 0:
        raise ShapeError(f"z has shape {z.shape}: expected at least one output.")
    if name == "cross_entropy_label":
        target = np.asarray(target)
        if target.dtype != np.int64 or target.shape != (rows,):
            raise DtypeError(f"target: expected int64 labels of shape ({rows},), "
                             f"got {target.dtype} of shape {target.shape}.")
        if rows and not (0 <= target.min() and target.max() < outputs):
            raise DataError(f"target: labels must lie in [0, {outputs}).")
        target = np.ascontiguousarray(target)
        targets = target.view(np.float64).reshape(rows, 1)  # the kernel reads the bits as int64
    else:
        targets = target = rows_of("target", target)
        if target.shape != z.shape or target.dtype != z.dtype:
            raise ShapeError(f"target: expected shape {z.shape} of {z.dtype}, "
                             f"got {target.shape} of {target.dtype}.")
    if weight is not None and (weight.shape != (rows,) or weight.dtype != z.dtype):
        raise ShapeError(f"weight: expected shape ({rows},) of {z.dtype}, "
                         f"got {weight.shape} of {weight.dtype}.")
    losses = np.zeros(rows)
    hits = np.zeros(rows)
    dz = np.empty(z.shape, z.dtype) if gradient else None
    if rows == 0:
        return losses, hits, dz
    cdef Matrix zv = matrix(z), tv = matrix(targets)
    cdef Matrix dv = matrix(dz, True) if gradient else None
    cdef Matrix wv = matrix(np.ascontiguousarray(weight)) if weight is not None else None
    cdef double *loss_data = <double *> data_of(losses, "d", True)
    cdef double *hit_data = <double *> data_of(hits, "d", True)
    cdef double params[4]
    cdef double factor = scale
    params[0] = param
    cdef mdl_loss_fn *function = zv.leaf.loss[<int> CODES[name]]
    cdef char *w = wv.data if wv is not None else NULL
    cdef char *d = dv.data if dv is not None else NULL
    cdef ptrdiff_t ldd = dv.row_stride if dv is not None else 0
    with nogil:
        function(zv.rows, zv.cols, zv.data, zv.row_stride, tv.data, tv.row_stride, w, factor,
                 d, ldd, loss_data, hit_data, params)
    return losses, hits, dz
