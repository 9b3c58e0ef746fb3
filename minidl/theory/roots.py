"""Roots of functions of one number. Importing SciPy takes longer than most of what is solved here."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["find_root"]


def find_root(f: Callable[[float], float], low: float, high: float, accuracy: float = 1e-14) -> float:
    """Return the root of f in [low, high], where its sign changes, to a relative accuracy.

    Bisection, or where the last three points allow it the inverse parabola through them.

    Raises
    ------
    ValueError
        f has the same sign at both ends.

    References
    ----------
    Chandrupatla, *A new hybrid quadratic/bisection algorithm for finding the zero of a nonlinear function
    without using derivatives*, Advances in Engineering Software 28 (1997) 145-149.

    Examples
    --------
    >>> round(find_root(lambda x: x * x - 2.0, 0.0, 2.0), 12)
    1.414213562373
    """
    # the root lies between a, the newest point, and b; c is the one before
    b, a = low, high
    fb, fa = f(b), f(a)
    if fa == 0.0 or fb == 0.0:
        return a if fa == 0.0 else b
    if (fa > 0.0) == (fb > 0.0):
        raise ValueError(f"f({low:g}) = {fb:g} and f({high:g}) = {fa:g} have the same sign")
    c, fc, t = a, fa, 0.5
    while True:
        x = a + t * (b - a)
        fx = f(x)
        if (fx > 0.0) == (fa > 0.0):
            c, fc = a, fa
        else:
            b, c, fb, fc = a, b, fa, fb
        a, fa = x, fx
        best, least = (a, fa) if abs(fa) < abs(fb) else (b, fb)
        smallest = (accuracy * abs(best) + 1e-300) / abs(b - a)  # step, as a part of the interval
        if least == 0.0 or smallest > 0.5:
            return best
        xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
        t = 0.5
        if phi * phi < xi and (1.0 - phi) ** 2 < 1.0 - xi:
            t = fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
        t = min(1.0 - smallest, max(smallest, t))
