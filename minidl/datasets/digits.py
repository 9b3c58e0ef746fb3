"""The small digits that ship with scikit-learn."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from ..data import float_dtype


def digits(dtype: DTypeLike = "float32") -> tuple[np.ndarray, np.ndarray]:
    """Load 1797 handwritten digits of 8 by 8 pixels. Nothing is downloaded.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        The dtype of the pixels.

    Returns
    -------
    X : ndarray of shape (1797, 64)
        Pixels row by row, scaled from 0..16 to [0, 1].
    y : ndarray of shape (1797,), int64
        The digit, 0 to 9.

    Raises
    ------
    ImportError
        scikit-learn, which carries the file, is not installed.

    References
    ----------
    .. [1] E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
       Repository, 1998.

    Examples
    --------
    >>> from minidl.datasets import digits
    >>> X, y = digits()
    >>> X.shape, float(X.min()), float(X.max())
    ((1797, 64), 0.0, 1.0)
    """
    dtype = float_dtype(dtype)
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "digits() reads a file that comes with scikit-learn, which is not installed. "
            "Install it with: pip install 'minidl[datasets]'"
        ) from error
    pixels, labels = load_digits(return_X_y=True)
    X = np.ascontiguousarray(pixels, dtype=dtype)
    X /= 16.0  # exact: a power of two
    return X, np.ascontiguousarray(labels, dtype=np.int64)
