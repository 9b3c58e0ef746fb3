"""Data on the way in: arrays are checked and converted once."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .errors import DataError, DtypeError, ShapeError
from .options import count, number

__all__ = [
    "as_features",
    "as_sample_weight",
    "check_same_length",
    "float_dtype",
    "split_validation",
]


_FLOATS = {"float32": np.dtype(np.float32), "float64": np.dtype(np.float64)}


def float_dtype(dtype: DTypeLike) -> np.dtype:
    """Return float32 or float64 as a NumPy dtype; anything else is a DtypeError.

    Examples
    --------
    >>> float_dtype("float32")
    dtype('float32')
    """
    if type(dtype) is str and dtype in _FLOATS:
        return _FLOATS[dtype]
    try:
        name = "none" if dtype is None else np.dtype(dtype).name  # np.dtype(None) is float64
    except TypeError:
        name = "unknown"
    if name not in _FLOATS:
        raise DtypeError(f"dtype={dtype!r}: expected 'float32' or 'float64'.")
    return _FLOATS[name]


# ----------------------------------------------------------------------------------------- arrays


def as_real(values: ArrayLike, argument: str) -> np.ndarray:
    """Return `values` as an array of booleans, integers or real floats, without a needless copy."""
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise DataError(
            f"{argument} has {np.ma.count_masked(values)} masked entries: expected none. "
            "Fill them first, for example with numpy.ma.filled."
        )
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ShapeError(
            f"{argument} cannot be made an array: {error} "
            "Expected an array, a data frame, or lists of equal length."
        ) from error
    if array.dtype.kind not in "biuf":
        sparse = " It looks sparse: pass .toarray()." if hasattr(values, "toarray") else ""
        raise DtypeError(
            f"{argument} has dtype {array.dtype}: expected numbers (float, int or bool).{sparse} "
            "Encode texts, dates and missing entries as numbers first."
        )
    return array


def cast(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    with np.errstate(over="ignore"):  # what overflows is found, and named, by the finite check
        return np.array(array, dtype=dtype, order="C", copy=True)


def require_finite(converted: np.ndarray, original: np.ndarray, argument: str, hint: str) -> None:
    """Raise DataError naming the first entry that is NaN or infinite after conversion."""
    rows_at_once = max(1, 2**18 // max(1, converted[0].size))  # keeps the masks small
    for start in range(0, len(converted), rows_at_once):
        if not np.isfinite(converted[start : start + rows_at_once]).all():
            break
    else:
        return
    bad = ~np.isfinite(converted)
    first = tuple(int(i) for i in np.unravel_index(np.argmax(bad), bad.shape))
    value = original[first]
    place = f"{argument}[{', '.join(map(str, first))}] is {value}"
    if np.isfinite(value):
        place += f", too large for {converted.dtype}"
    raise DataError(f"{place}; {np.count_nonzero(bad)} of {bad.size} entries are not finite. {hint}")


def as_features(
    X: ArrayLike,
    dtype: DTypeLike,
    n_features: int | None = None,
    argument: str = "X",
    check_finite: bool = True,
) -> np.ndarray:
    """Return `X` as the kernels read it: 2-D, of `dtype`, the entries of a row side by side.

    An array that has this form already is returned as it is; rows may be further apart than they
    are long, as in ``A[:, :k]`` or ``A[::2]``. Anything else is copied once.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Array, lists or data frame of float, int or bool.
    dtype : {"float32", "float64"}
        The dtype of the model.
    n_features : int, optional
        The number of columns that must come.
    argument : str
        The name of `X` in error messages.
    check_finite : bool
        Whether NaN, infinity, and what overflows `dtype` are errors.

    Returns
    -------
    ndarray of shape (n_samples, n_features)
        Column stride one entry; row stride a multiple of it and at least `n_features` entries;
        aligned, native byte order. Shares memory with `X` where no copy was needed.

    Raises
    ------
    ShapeError
        `X` is not 2-D, has no columns, or not `n_features` of them.
    DtypeError
        `X` holds objects, texts, dates or complex numbers.
    DataError
        `X` has no rows, masked entries, or entries that are not finite.

    Examples
    --------
    >>> as_features([[1, 2], [3, 4]], "float32")
    array([[1., 2.],
           [3., 4.]], dtype=float32)
    """
    dtype = float_dtype(dtype)
    array = as_real(X, argument)
    if array.ndim != 2:
        if array.ndim == 1:
            hint = f"For one sample pass {argument}[None, :], for one feature {argument}[:, None]"
        elif array.ndim == 0:
            hint = "Pass one row per sample"
        else:
            hint = f"Flatten each sample with {argument}.reshape(len({argument}), -1)"
        raise ShapeError(f"{argument} has shape {array.shape}: expected 2-D (n_samples, n_features). {hint}.")
    rows, columns = array.shape
    if n_features is not None and columns != n_features:
        raise ShapeError(
            f"{argument} has {columns} features (columns): expected {n_features}, "
            "the number the model was built for."
        )
    if columns == 0:
        raise ShapeError(f"{argument} has shape {array.shape}: expected at least one column.")
    if rows == 0:
        raise DataError(f"{argument} has shape {array.shape}: expected at least one row.")

    row_stride, column_stride = array.strides
    fits = (
        array.dtype == dtype  # also native byte order
        and array.flags.aligned
        and column_stride == dtype.itemsize
        and row_stride >= columns * dtype.itemsize
        and row_stride % dtype.itemsize == 0
    )
    converted = array if fits else cast(array, dtype)
    if check_finite:
        hint = f"Clean or scale {argument}, or pass check_finite=False to let them through."
        require_finite(converted, array, argument, hint)
    return converted


def check_same_length(X: ArrayLike, y: ArrayLike, argument_x: str = "X", argument_y: str = "y") -> None:
    """Raise ShapeError unless `X` and `y` have the same number of rows.

    Examples
    --------
    >>> check_same_length([[1.0], [2.0]], [0, 1])
    """
    lengths = []
    for values, argument in ((X, argument_x), (y, argument_y)):
        try:
            lengths.append(len(values))
        except TypeError:
            raise ShapeError(f"{argument} is {values!r}: expected one row per sample.") from None
    if lengths[0] != lengths[1]:
        raise ShapeError(
            f"{argument_x} has {lengths[0]} rows and {argument_y} has {lengths[1]}: expected as "
            "many of one as of the other, row i of both being sample i."
        )


def as_sample_weight(
    sample_weight: ArrayLike, n: int, dtype: DTypeLike, argument: str = "sample_weight"
) -> np.ndarray:
    """Return the weights of `n` samples as a contiguous array of `dtype`.

    Raises
    ------
    ShapeError
        Not one weight per sample.
    DtypeError
        The weights are not real numbers.
    DataError
        A weight is negative or not finite, or none is greater than 0 in `dtype`.

    Examples
    --------
    >>> as_sample_weight([1, 0, 2], 3, "float64")
    array([1., 0., 2.])
    """
    dtype = float_dtype(dtype)
    array = as_real(sample_weight, argument)
    if array.shape != (n,):
        raise ShapeError(f"{argument} has shape {array.shape}: expected ({n},), one weight per sample.")
    if n == 0:
        raise DataError(f"{argument} has shape (0,): expected at least one weight.")
    converted = cast(array, dtype)
    require_finite(converted, array, argument, "Give every sample a finite weight.")
    if converted.min() < 0:
        i = int(np.argmin(converted))
        raise DataError(f"{argument}[{i}] is {array[i]}: expected weights >= 0.")
    if converted.max() == 0:
        raise DataError(f"{argument} is 0 everywhere: expected at least one weight > 0.")
    return converted


def split_validation(
    n: int, fraction: float, permutation: ArrayLike, argument: str = "validation_fraction"
) -> tuple[np.ndarray, np.ndarray]:
    """Split `n` samples: the last ``floor(n * fraction + 1/2)`` of `permutation` validate.

    Parameters
    ----------
    n : int
        Number of samples.
    fraction : float
        Share held out, between 0 and 1, both excluded.
    permutation : array-like of shape (n,)
        The numbers 0 to n - 1, each once, in any order.
    argument : str
        The name of `fraction` in error messages.

    Returns
    -------
    train, valid : ndarray, int64
        Indices in the order of `permutation`. None is empty, together they are all samples.

    Raises
    ------
    OptionError
        `fraction` is not between 0 and 1.
    DataError
        One part would be empty, or `permutation` is not one.

    Examples
    --------
    >>> train, valid = split_validation(5, 0.4, [4, 2, 0, 1, 3])
    >>> train.tolist(), valid.tolist()
    ([4, 2, 0], [1, 3])
    """
    n = count("n", n, 0)
    fraction = number(
        argument, fraction, "a number between 0 and 1, both excluded", lambda value: 0 < value < 1
    )
    order = np.asarray(permutation)
    if (
        order.shape != (n,)
        or (n > 0 and order.dtype.kind not in "iu")
        or not np.array_equal(np.sort(order), np.arange(n))
    ):
        raise DataError(f"permutation: expected the numbers 0 to {n - 1}, each once.")
    n_valid = math.floor(n * fraction + 0.5)
    if not 0 < n_valid < n:
        raise DataError(
            f"{argument}={fraction} of {n} samples leaves {n - n_valid} for training and {n_valid} "
            "for validation: expected at least one in each. Change the fraction or bring more data."
        )
    order = order.astype(np.int64)
    return order[: n - n_valid], order[n - n_valid :]
