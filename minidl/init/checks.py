"""Checks of the arrays that initializers fill."""

from __future__ import annotations

import numpy as np

from minidl.errors import DtypeError, OptionError, ShapeError, out_of_range
from minidl.init.spec import LayerSpec


def check_dtype(dtype: object) -> np.dtype:
    """Return float32 or float64 as a dtype, else raise DtypeError.

    Examples
    --------
    >>> check_dtype("float32")
    dtype('float32')
    """
    try:
        # NumPy takes None for float64, in np.dtype() and in ==; here it is a mistake.
        if dtype is not None and np.dtype(dtype) in (np.dtype(np.float32), np.dtype(np.float64)):
            return np.dtype(dtype)
    except TypeError:
        pass
    raise DtypeError(f"dtype={dtype!r}: expected float32 or float64.")


def check_array(argument: str, array: object, shape: tuple[int, ...]) -> None:
    """Raise unless `array` is a writeable ndarray of that shape, float32 or float64."""
    if not isinstance(array, np.ndarray):
        raise DtypeError(f"{argument}: expected an ndarray, got {type(array).__name__}.")
    if array.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise DtypeError(f"{argument}: expected dtype float32 or float64, got {array.dtype}.")
    if array.shape != shape:
        raise ShapeError(f"{argument}: expected shape {shape}, got {array.shape}.")
    if not array.flags.writeable:
        raise OptionError(f"{argument}: expected a writeable array, got a read-only one.")


def check_arrays(spec: LayerSpec, weight: object, bias: object) -> None:
    """Raise unless weight and bias are arrays that the layer can have."""
    check_array("weight", weight, spec.shape)
    if bias is not None:
        check_array("bias", bias, (spec.n_outputs,))


def check_largest(who: object, largest: float, dtype: np.dtype) -> None:
    """Raise OptionError unless values up to that size fit into the dtype.

    Examples
    --------
    >>> check_largest("Normal(1e38)", 8.3e38, np.float32)
    Traceback (most recent call last):
        ...
    minidl.errors.OptionError: Normal(1e38): values up to 8.3e+38 are too large for float32.
    """
    dtype = np.dtype(dtype)
    if not largest <= float(np.finfo(dtype).max):  # so that NaN never passes
        who = who if isinstance(who, str) else repr(who)
        raise OptionError(f"{who}: values up to {largest:.3g} are too large for {dtype}.")


def narrow(who: object, values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Round float64 numbers to a dtype, or raise OptionError if one is too large for it.

    Examples
    --------
    >>> narrow("half", np.array([0.5]), "float32")
    array([0.5], dtype=float32)
    """
    check_largest(who, float(np.abs(values).max(initial=0.0)), dtype)
    return values.astype(dtype, copy=False)


def check_matrix(rule: object, view: np.ndarray) -> None:
    """Raise if a rule about matrices is to fill a vector."""
    if view.ndim != 2:
        raise ShapeError(f"{rule!r} fills matrices, not a vector of shape {view.shape} such as a bias.")


def check_fans(fan_in: float, fan_out: float) -> None:
    """Raise unless both are positive: a layer without inputs or outputs has no variance."""
    for name, fan in (("fan_in", fan_in), ("fan_out", fan_out)):
        if not fan > 0:
            raise out_of_range(name, fan, "a number > 0")
