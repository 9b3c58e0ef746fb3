# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: embedsignature=True, binding=True
"""Random numbers that do not depend on dtype, threads or machine: the Python face of csrc/random.c.

A key (two 64-bit words) names a sequence of 64-bit draws, Philox4x64-10 in the order of
``numpy.random.Philox(key=key).random_raw()``. Each number takes exactly one draw and is computed
from it by the inverse CDF in float64, then rounded once to the dtype of the output. In a weight of
shape (fan_in, fan_out) the element (i, j) takes draw ``j * fan_in + i``, whatever the memory
layout; so adding outputs keeps the numbers of the outputs that were there. In a vector, element i
takes draw i.

The keys come from :class:`minidl.init.Stream`.
"""

from cython cimport floating
from libc.stdint cimport int64_t, uint64_t

import numbers

import numpy as np

from minidl.errors import DtypeError, OptionError, ShapeError, out_of_range

cdef extern from "random.h" nogil:
    ctypedef struct mdl_law:
        double width

    void mdl_random_raw(const uint64_t *key, uint64_t start, ptrdiff_t n, uint64_t *out)
    double mdl_ndtri(double p)
    mdl_law mdl_law_uniform(double low, double high)
    mdl_law mdl_law_normal(double mean, double std)
    mdl_law mdl_law_truncated_normal(double mean, double scale, double lower, double upper)
    void mdl_random_fill(const mdl_law *law, const uint64_t *key, ptrdiff_t fan_in, ptrdiff_t row0,
                         ptrdiff_t rows, ptrdiff_t col0, ptrdiff_t cols, void *out, int is_double,
                         ptrdiff_t row_stride, ptrdiff_t col_stride)
    void mdl_random_permutation(const uint64_t *key, ptrdiff_t n, int64_t *out)


cdef int read_key(key, uint64_t *words) except -1:
    try:
        words[0], words[1] = key
    except (TypeError, ValueError, OverflowError):
        raise out_of_range("key", key, "a pair of integers in 0 .. 2**64 - 1") from None
    return 0


def _check_count(argument, value):
    if not isinstance(value, numbers.Integral) or not 0 <= value < 2**62:
        raise out_of_range(argument, value, "an integer >= 0")
    return int(value)


def _check_finite(**arguments):
    for name, value in arguments.items():
        if not np.isfinite(value):
            raise out_of_range(name, value, "a finite number")


def _check_out(out):
    if not isinstance(out, np.ndarray) or out.dtype not in (np.float32, np.float64):
        raise DtypeError("out: expected an ndarray of float32 or float64 in native byte order, got "
                         f"{getattr(out, 'dtype', type(out).__name__)}.")
    if out.ndim not in (1, 2):
        raise ShapeError(f"out: expected shape (n,) or (fan_in, fan_out), got {out.shape}.")
    if not out.flags.writeable:
        raise OptionError("out: expected a writeable array, got a read-only one.")


cdef void fill_view(floating[:, :] out, const mdl_law *law, const uint64_t *key) noexcept nogil:
    mdl_random_fill(law, key, out.shape[0], 0, out.shape[0], 0, out.shape[1], &out[0, 0],
                    floating is double, out.strides[0] // <ptrdiff_t> sizeof(floating),
                    out.strides[1] // <ptrdiff_t> sizeof(floating))


cdef int fill(out, key, const mdl_law *law) except -1:
    cdef uint64_t words[2]
    cdef float[:, :] single
    cdef double[:, :] double_
    read_key(key, words)
    if out.size == 0:
        return 0
    if not out.flags.aligned or any(stride % out.itemsize for stride in out.strides):
        # A field of a packed record, say: C cannot write there.
        packed = np.empty(out.shape, out.dtype)
        fill(packed, key, law)
        out[...] = packed
        return 0
    matrix = out if out.ndim == 2 else out[:, None]
    if out.dtype == np.float32:
        single = matrix
        with nogil:
            fill_view(single, law, words)
    else:
        double_ = matrix
        with nogil:
            fill_view(double_, law, words)
    return 0


def fill_uniform(out, key, double low, double high):
    r"""Fill an array from the uniform law on [low, high].

    Element = :math:`(low + high)/2 + (high - low)(u - 1/2)`, computed in float64 and rounded once.

    Parameters
    ----------
    out : ndarray of float32 or float64, shape (n,) or (fan_in, fan_out)
        Written in place; any strides.
    key : (int, int)
        Two words in 0 .. 2**64 - 1.
    low, high : float
        ``low <= high``, both finite.

    Raises
    ------
    DtypeError, ShapeError, OptionError
        An argument does not fit; `out` is untouched.

    Examples
    --------
    >>> import numpy as np
    >>> out = np.empty((2, 3))
    >>> fill_uniform(out, (1, 2), -1.0, 1.0)
    >>> bool(np.all(np.abs(out) < 1.0))
    True
    """
    _check_out(out)
    _check_finite(low=low, high=high, width=high - low)
    if low > high:
        raise out_of_range("low", low, f"a number <= high={high}")
    cdef mdl_law law = mdl_law_uniform(low, high)
    fill(out, key, &law)


def fill_normal(out, key, double mean, double std):
    r"""Fill an array from the normal law.

    Element = :math:`mean + std\,\Phi^{-1}(u)`, computed in float64 and rounded once. As u has 53 bits,
    no element is further than 8.3 std from the mean.

    Parameters
    ----------
    out, key
        As for :func:`fill_uniform`.
    mean, std : float
        Finite; ``std >= 0``.

    Raises
    ------
    DtypeError, ShapeError, OptionError
        An argument does not fit; `out` is untouched.
    """
    _check_out(out)
    _check_finite(mean=mean, std=std)
    if std < 0.0:
        raise out_of_range("std", std, "a finite number >= 0")
    cdef mdl_law law = mdl_law_normal(mean, std)
    fill(out, key, &law)


def fill_truncated_normal(out, key, double mean, double std, double lower, double upper):
    r"""Fill an array from a normal law cut to an interval.

    Element = :math:`mean + std\,z` with :math:`z = \Phi^{-1}(\Phi(lower) + u(\Phi(upper) -
    \Phi(lower)))`: no draw is rejected, and none is moved to a bound.

    Parameters
    ----------
    out, key
        As for :func:`fill_uniform`.
    mean, std : float
        Of the normal law before it is cut. Finite; ``std >= 0``.
    lower, upper : float
        The interval, in units of `std` about the mean; one or both may be infinite.

    Raises
    ------
    DtypeError, ShapeError, OptionError
        An argument does not fit, or the interval has no probability in float64 (it lies beyond 37
        standard deviations, or is a point); `out` is untouched.
    """
    _check_out(out)
    _check_finite(mean=mean, std=std)
    if std < 0.0:
        raise out_of_range("std", std, "a finite number >= 0")
    if not lower < upper:
        raise out_of_range("lower", lower, f"a number < upper={upper}")
    cdef mdl_law law = mdl_law_truncated_normal(mean, std, lower, upper)
    if not law.width > 0.0:
        raise OptionError(f"lower={lower}, upper={upper}: a normal law has no probability there "
                          "in float64; choose an interval within 37 standard deviations.")
    fill(out, key, &law)


def raw(key, start, count):
    """Return the 64-bit draws start .. start + count - 1 of a key.

    Parameters
    ----------
    key : (int, int)
        Two words in 0 .. 2**64 - 1.
    start, count : int
        Both >= 0.

    Returns
    -------
    ndarray of uint64, shape (count,)

    Examples
    --------
    >>> import numpy as np
    >>> philox = np.random.Philox(key=np.array([1, 2], dtype=np.uint64))
    >>> bool(np.all(raw((1, 2), 0, 5) == philox.random_raw(5)))
    True
    """
    cdef uint64_t words[2]
    cdef uint64_t first = _check_count("start", start)
    cdef ptrdiff_t n = _check_count("count", count)
    read_key(key, words)
    out = np.empty(n, np.uint64)
    cdef uint64_t[::1] view = out
    if n:
        with nogil:
            mdl_random_raw(words, first, n, &view[0])
    return out


def permutation(key, n):
    """Return a random order of 0 .. n-1 (Fisher-Yates, one draw per step).

    Parameters
    ----------
    key : (int, int)
        Two words in 0 .. 2**64 - 1.
    n : int
        >= 0.

    Returns
    -------
    ndarray of int64, shape (n,)

    Notes
    -----
    A bounded integer is the high word of draw times bound (Lemire, *Fast random integer generation
    in an interval*, 2019) without the rejection step: the probabilities of two orders differ by a
    factor of at most about :math:`1 + n^2 2^{-64}`.

    Examples
    --------
    >>> sorted(permutation((1, 2), 4).tolist())
    [0, 1, 2, 3]
    """
    cdef uint64_t words[2]
    cdef ptrdiff_t size = _check_count("n", n)
    read_key(key, words)
    out = np.empty(size, np.int64)
    cdef int64_t[::1] view = out
    if size:
        with nogil:
            mdl_random_permutation(words, size, &view[0])
    return out


def ndtri(x):
    r"""Compute the quantile function of the standard normal law, :math:`\Phi^{-1}(x)`.

    The relative error is below 1e-15 and the bits are the same on every machine.

    Parameters
    ----------
    x : array_like of float64
        Probabilities.

    Returns
    -------
    ndarray of float64 like x, or float
        ``-inf`` at 0, ``inf`` at 1, ``nan`` outside [0, 1], as :func:`scipy.special.ndtri`.

    References
    ----------
    Wichura, *Algorithm AS 241: The percentage points of the normal distribution*, Applied
    Statistics 37 (1988) 477-484.

    Examples
    --------
    >>> ndtri(0.5), round(ndtri(0.975), 12)
    (0.0, 1.95996398454)
    """
    values = np.array(x, dtype=np.float64, order="C")
    cdef double[::1] flat = values.reshape(-1)
    cdef ptrdiff_t i
    for i in range(flat.shape[0]):
        flat[i] = mdl_ndtri(flat[i])
    return values if values.ndim else float(values)
