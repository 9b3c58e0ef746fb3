"""Means over Gaussian variables, by Gauss-Legendre panels that split until they agree with their halves.

Gauss-Hermite rules look like the natural choice and are the wrong one: a kink costs them all but three
digits. Panels that end at the kinks lose nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np

from minidl.errors import OptionError
from minidl.options import non_negative, number

__all__ = ["gaussian_mean", "gaussian_pair_mean"]

NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
REACH = 13.0  # P(|z| > 13) = 1e-38
PAIR_REACH = 9.5  # P(|z| > 9.5) = 2e-21, enough for the two-dimensional mean
TOLERANCE = 1e-14
MOST_SPLITS = 60
MOST_PANELS = 50_000  # at once: enough for 20,000 oscillations
MOST_VALUES = 1_000_000  # of one call in two dimensions: 8 MB
# where the smoothed function changes next to a kink, in units of the width of the smoothing
TRANSITION = np.array([0.0, 1.5, -1.5, 3.0, -3.0, 4.5, -4.5, 6.0, -6.0, 9.0, -9.0])


def gaussian_mean(f: Callable, q: float = 1.0, kinks: Iterable[float] = ()):
    r"""Return the mean of a function of a Gaussian variable.

    .. math:: E f(\sqrt{q}\, z) = \int f(\sqrt{q}\, z)\, e^{-z^2/2} \frac{dz}{\sqrt{2\pi}}

    over :math:`|z| < 13`. Panels are halved until both halves together agree with the whole to 1e-14 of
    :math:`E|f|`. So oscillations and kinks are resolved even if they are not given; given ones cost less.

    Parameters
    ----------
    f : callable
        Takes an array of shape (n,) and returns shape (n,), or (k, n) for k means at once.
    q : float
        Variance, finite and >= 0.
    kinks : iterable of float
        Points where f or its derivatives jump. The point 0 is always a border of panels.

    Returns
    -------
    float, or ndarray of shape (k,)
        Good to about 1e-13 of E|f|, if f grows slower than :math:`e^{x^2 / 4q}` and has no feature far
        from 0 and from the kinks that is narrower than a twentieth of its distance from 0.

    Raises
    ------
    OptionError
        f is not finite there, or the mean does not converge.

    Examples
    --------
    >>> round(gaussian_mean(np.square, q=3.0), 12)
    3.0
    >>> round(gaussian_mean(lambda x: np.maximum(x - 1.0, 0.0) ** 2, kinks=(1.0,)), 12)
    0.075339783344
    """
    s = math.sqrt(non_negative("q", q))
    mean = integrate(f, s, kinks)[0]
    return mean if mean.ndim else float(mean)


def gaussian_pair_mean(f: Callable, c: float, q: float = 1.0, kinks: Iterable[float] = ()) -> float:
    r"""Return the mean of f over two correlated Gaussian variables.

    .. math:: E f(u_1) f(u_2), \quad u_1 = \sqrt{q}\, z_1, \quad
              u_2 = \sqrt{q}\, (c z_1 + \sqrt{1 - c^2}\, z_2)

    The inner mean over :math:`z_2` has panels that end where :math:`u_2` meets a kink, for each
    :math:`z_1` by itself; the outer panels are fine where the inner mean changes fast. So |c| near 1 and
    kinks cost nothing.

    Parameters
    ----------
    f : callable
        Takes an array of any shape and returns that shape.
    c : float
        Correlation, in [-1, 1].
    q : float
        Variance of both, finite and >= 0.
    kinks : iterable of float
        As for :func:`gaussian_mean`.

    Returns
    -------
    float
        Good to about 1e-12 of E f^2.

    Examples
    --------
    >>> round(gaussian_pair_mean(np.sin, 0.5), 10)  # e^-1 sinh(1/2)
    0.1917002498
    """
    q = non_negative("q", q)
    c = number("c", c, "a correlation from -1 to 1", lambda x: -1.0 <= x <= 1.0)
    s, r = math.sqrt(q), math.sqrt((1.0 - c) * (1.0 + c))
    if s == 0.0 or r == 0.0:
        return float(integrate(lambda x: f(x) * f(math.copysign(1.0, c) * x), s, _both(kinks, c))[0])
    if c == 0.0:
        return float(integrate(f, s, kinks)[0]) ** 2
    # what resolves f also resolves the two factors of the double integral
    edges = integrate(lambda x: np.stack((f(x), f(x) ** 2)), s, kinks)[1]
    edges = edges[np.abs(edges) < PAIR_REACH]
    singular = np.array([0.0, *kinks]) / s
    turns = (singular[:, None] + r * TRANSITION).ravel() / c
    grid = np.linspace(-PAIR_REACH, PAIR_REACH, 10)
    outer = np.unique(np.concatenate((edges, grid, turns[np.abs(turns) < PAIR_REACH])))
    z1, w1 = _nodes(outer[:-1], outer[1:])
    z1, w1 = z1.ravel(), (w1 * _density(z1)).ravel()

    total = 0.0
    rows = max(1, MOST_VALUES // ((len(edges) + len(grid)) * len(NODES)))
    for start in range(0, len(z1), rows):
        a, w = z1[start : start + rows], w1[start : start + rows]
        inner = np.clip((edges - c * a[:, None]) / r, -PAIR_REACH, PAIR_REACH)
        inner = np.sort(np.concatenate((inner, np.broadcast_to(grid, (len(a), len(grid)))), axis=1), axis=1)
        z2, w2 = _nodes(inner[:, :-1], inner[:, 1:])
        smooth = np.sum(f(s * (c * a[:, None, None] + r * z2)) * (w2 * _density(z2)), axis=(1, 2))
        total += float(np.sum(w * f(s * a) * smooth))
    if not math.isfinite(total):
        raise _not_finite(s)
    return total


def integrate(f: Callable, s: float, kinks: Iterable[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return E f(s z), and the borders in z of panels that resolve f times the density."""
    if s == 0.0:
        return np.asarray(f(np.zeros(1)), np.float64)[..., 0], np.array([-REACH, 0.0, REACH])
    edges = _first_edges(s, kinks)
    low, high = edges[:-1], edges[1:]
    whole, size = _panels(f, s, low, high)
    scale = np.sum(size, axis=-1, keepdims=True)  # E|f|
    total, done = 0.0, []
    for _ in range(MOST_SPLITS):
        middle = 0.5 * (low + high)
        low, high = np.stack((low, middle), -1).ravel(), np.stack((middle, high), -1).ravel()
        halves = _panels(f, s, low, high)[0]
        halves = halves.reshape(*halves.shape[:-1], -1, 2)
        together = halves.sum(axis=-1)
        # written so that NaN never passes
        good = np.abs(together - whole) <= TOLERANCE * scale
        good = good.reshape(-1, good.shape[-1]).all(axis=0)
        total = total + together[..., good].sum(axis=-1)
        pairs = np.stack((low, high), -1).reshape(-1, 4)
        done.append(pairs[good][:, [0, 3]].ravel())
        if good.all():
            return np.asarray(total), np.unique(np.concatenate(done))
        low, high = (x.reshape(-1, 2)[~good].ravel() for x in (low, high))
        if len(low) > MOST_PANELS:
            break
        whole = halves[..., ~good, :].reshape(*halves.shape[:-2], -1)
    raise OptionError(
        f"the mean over a Gaussian of standard deviation {s:.4g} does not converge near "
        f"x = {s * low[0]:.6g}: the function, or its squared derivative, is not integrable there, or it "
        "oscillates too fast."
    )


def _first_edges(s: float, kinks: Iterable[float]) -> np.ndarray:
    """Return borders in z: even ones for the density, growing ones from 0 for f, and the kinks."""
    steps = max(0, math.ceil(math.log(2.0 * REACH * s, 3.0))) if s > 0.5 / REACH else 0
    growing = 0.5 * 3.0 ** np.arange(steps) / s
    edges = np.concatenate((np.linspace(-REACH, REACH, 13), -growing, growing, np.array([*kinks]) / s))
    return np.unique(edges[np.abs(edges) <= REACH])


def _panels(f: Callable, s: float, low: np.ndarray, high: np.ndarray):
    """Return the integral of f times the density over each panel, and that of |f|."""
    z, w = _nodes(low, high)
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        values = np.asarray(f(s * z.ravel()), np.float64)
        values = values.reshape(*values.shape[:-1], *z.shape) * (w * _density(z))
    if not np.isfinite(values).all():
        raise _not_finite(s)
    return values.sum(axis=-1), np.abs(values).sum(axis=-1)


def _nodes(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights on panels; their last axis is the node."""
    half = 0.5 * (high - low)[..., None]
    return 0.5 * (high + low)[..., None] + half * NODES, half * WEIGHTS


def _density(z: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)


def _both(kinks: Iterable[float], c: float) -> list[float]:
    """Return the kinks of f(x) f(sign(c) x)."""
    return [*kinks, *(-k for k in kinks)] if c < 0.0 else [*kinks]


def _not_finite(s: float) -> OptionError:
    return OptionError(f"the function is not finite for all |x| < {REACH * s:.4g}.")
