"""The derivative and the kinks of a function of which only values are known.

The function is interpolated by Chebyshev polynomials on intervals that are halved until the last
coefficients vanish; the polynomials are differentiated. Where halving does not help there is a kink.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.polynomial import chebyshev

from minidl.errors import OptionError

__all__ = ["PiecewiseSlope", "find_kinks"]

DEGREE = 23
NODES = np.cos(np.pi * (np.arange(DEGREE + 1) + 0.5) / (DEGREE + 1))
# values at the nodes -> coefficients (the polynomials are orthogonal there)
TO_COEFFICIENTS = np.cos(np.pi * np.outer(np.arange(DEGREE + 1), np.arange(DEGREE + 1) + 0.5) / (DEGREE + 1))
TO_COEFFICIENTS *= np.where(np.arange(DEGREE + 1) == 0, 1.0, 2.0)[:, None] / (DEGREE + 1)
RESOLVED = 2e-13
NARROWEST = 1e-7  # relative to max(1, |x|)
KINK_RANGE = 64.0


class PiecewiseSlope:
    """The derivative of a function, by piecewise interpolation.

    Parameters
    ----------
    f : callable
        Takes and returns arrays.
    kinks : tuple of float
        Borders of the intervals.

    Examples
    --------
    >>> slope = PiecewiseSlope(np.sin, ())
    >>> slope(np.array([0.0, 1.0])).round(10)
    array([1.        , 0.54030231])
    """

    def __init__(self, f: Callable, kinks: tuple[float, ...]):
        self.f = f
        self.kinks = kinks
        self._pieces: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __call__(self, x: np.ndarray) -> np.ndarray:
        x = np.asarray(x, np.float64)
        reach = float(np.max(np.abs(x), initial=16.0))
        size = math.ceil(math.log2(reach))
        if size not in self._pieces:
            self._pieces[size] = self._interpolate(2.0**size)
        edges, coefficients = self._pieces[size]
        piece = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, len(edges) - 2)
        low, high = edges[piece], edges[piece + 1]
        t = (2.0 * x - low - high) / (high - low)
        return chebyshev.chebval(t, coefficients[:, piece], tensor=False)

    def _interpolate(self, reach: float) -> tuple[np.ndarray, np.ndarray]:
        """Return borders and coefficients (DEGREE, pieces) of the derivative on [-reach, reach]."""
        low, high, coefficients, _ = resolve(self.f, reach, self.kinks)
        order = np.argsort(low)
        slopes = chebyshev.chebder(coefficients[:, order]) * (2.0 / (high - low)[order])
        return np.append(low[order], high.max()), slopes


def find_kinks(f: Callable, label: str) -> tuple[float, ...]:
    """Return the points in |x| < 64 where the derivative of a continuous function jumps.

    Raises
    ------
    OptionError
        The function itself jumps.

    Examples
    --------
    >>> find_kinks(lambda x: np.clip(x, -1.0, 2.5), "clip")
    (-1.0, 2.5)
    """
    low, high, coefficients, resolved = resolve(f, KINK_RANGE, ())
    order = np.argsort(low)
    low, high, resolved = low[order], high[order], resolved[order]
    # where halving meets a kink exactly, both sides are resolved and their slopes differ
    values = coefficients[:, order]
    slopes = chebyshev.chebder(values) * (2.0 / (high - low))
    jump, bend = _gaps(values), _gaps(slopes)
    size = np.maximum(_larger(np.abs(values).sum(axis=0)), _negligible(f))
    steepness = _larger(np.abs(slopes).sum(axis=0))
    noise = 1e-11 * size * _larger(1.0 / (high - low))  # of a slope
    both = resolved[:-1] & resolved[1:]
    borders = high[:-1]
    if np.any(both & (jump > 1e-9 * size)):
        raise _jumps(label, borders[both & (jump > 1e-9 * size)][0])
    kinks = [*borders[both & (bend > 1e-6 * steepness + noise)]]
    # elsewhere an interval is left that cannot be resolved, or several that touch
    suspects: list[tuple[float, float]] = []
    for a, b in zip(low[~resolved], high[~resolved], strict=True):
        if suspects and a - suspects[-1][1] <= 4.0 * (b - a):
            suspects[-1] = (suspects[-1][0], b)
        else:
            suspects.append((a, b))
    kinks += [_locate(f, a, b, label) for a, b in suspects]
    return tuple(sorted({round(float(k), 13) + 0.0 for k in kinks}))


def _locate(f: Callable, a: float, b: float, label: str) -> float:
    """Return where the smooth continuations from both sides of [a, b] meet."""
    width = 0.004 * max(1.0, abs(a))
    sides = []
    for start, stop in ((a - width, a), (b, b + width)):
        t = 0.5 * (start + stop) + 0.5 * (stop - start) * NODES[::3]
        sides.append(np.polynomial.Polynomial.fit(t, f(t), 4))

    def difference(x):
        return float(sides[1](x) - sides[0](x))

    middle = 0.5 * (a + b)
    scale = float(np.max(np.abs(f(np.linspace(a - width, b + width, 9)))))
    bend = float(sides[1].deriv()(middle) - sides[0].deriv()(middle))
    if abs(bend) > 1e-5 * scale:
        kink = middle - difference(middle) / bend
        kink = kink - difference(kink) / bend
        if abs(kink - middle) <= 2.0 * (b - a) + 1e-9:
            return kink
    if abs(difference(middle)) > 1e-5 * scale:
        raise _jumps(label, middle)
    return middle


def _negligible(f: Callable) -> float:
    """Return a size below which values of f do not count: tails that underflow are rough."""
    return 1e-20 * float(np.max(np.abs(f(np.linspace(-1.0, 1.0, 33)))))


def _gaps(coefficients: np.ndarray) -> np.ndarray:
    """Return the absolute difference of neighbouring polynomials where they meet."""
    return np.abs(chebyshev.chebval(-1.0, coefficients)[1:] - chebyshev.chebval(1.0, coefficients)[:-1])


def _larger(x: np.ndarray) -> np.ndarray:
    """Return the larger one of each two neighbours."""
    return np.maximum(x[1:], x[:-1])


def _jumps(label: str, x: float) -> OptionError:
    return OptionError(
        f"{label}: jumps, or has no finite slope, near x = {x:.6g}; theory needs a continuous function "
        "with a square-integrable derivative."
    )


def resolve(f: Callable, reach: float, kinks: tuple[float, ...]):
    """Return intervals of [-reach, reach], Chebyshev coefficients on them, and which are resolved."""
    growing = 2.0 ** np.arange(-1.0, math.log2(reach) + 1.0)
    edges = np.concatenate((-growing, [0.0], growing, [k for k in kinks if abs(k) < reach]))
    edges = np.unique(edges)
    low, high = edges[:-1], edges[1:]
    negligible, done = _negligible(f), []
    while len(low):
        x = 0.5 * (low + high)[:, None] + 0.5 * (high - low)[:, None] * NODES
        values = f(x)
        coefficients = values @ TO_COEFFICIENTS.T
        size = np.maximum(np.max(np.abs(values), axis=1), negligible)
        resolved = np.max(np.abs(coefficients[:, -4:]), axis=1) <= RESOLVED * size
        narrow = high - low <= NARROWEST * np.maximum(1.0, np.abs(low))
        stop = resolved | narrow
        done.append((low[stop], high[stop], coefficients[stop], resolved[stop]))
        middle = 0.5 * (low + high)
        low, high = np.append(low[~stop], middle[~stop]), np.append(middle[~stop], high[~stop])
        if len(low) > 20_000:
            raise OptionError("the function is too rough to be differentiated: pass its derivative.")
    low, high, coefficients, resolved = (np.concatenate(parts) for parts in zip(*done, strict=True))
    return low, high, coefficients.T, resolved
