"""The mean singular value of a layer's Jacobian: in theory, and of a matrix."""

from __future__ import annotations

import numpy as np

from minidl.errors import out_of_range
from minidl.options import positive
from minidl.theory.function import as_function

__all__ = ["mean_singular_value", "predicted_mean_singular_value"]

# Gauss-Legendre on [-9, 0] and [0, 9] with the normal density: a kink of the slope at 0 costs nothing
_x, _w = np.polynomial.legendre.leggauss(48)
_x, _w = 4.5 * (_x + 1.0), _w * np.exp(-0.5 * (4.5 * (_x + 1.0)) ** 2)
NODES, WEIGHTS = np.concatenate((-_x, _x)), np.concatenate((_w, _w)) / (2.0 * _w.sum())
# m = exp(grid): the integrand falls as exp(y / 2) and exp(-2 y), so the trapezoidal rule converges at once
GRID = np.linspace(-70.0, 40.0, 1101)


def mean_singular_value(matrix: np.ndarray) -> float:
    """Return the mean of the singular values of a matrix.

    Examples
    --------
    >>> mean_singular_value(np.diag([1.0, -3.0]))
    2.0
    """
    return float(np.linalg.svd(matrix, compute_uv=False).mean())


def predicted_mean_singular_value(activation: object, q: float, scale: float = 1.0) -> float:
    r"""Predict the mean singular value of the Jacobian of a wide square layer.

    The Jacobian is :math:`J = D W`, where W has n by n independent entries of mean 0 and variance scale / n,
    and D is diagonal with the slopes :math:`\varphi'(s)` of pre-activations of variance q. With
    :math:`t = \mathrm{scale}\ \varphi'(\sqrt q z)^2` and the Marchenko-Pastur law for such a product,

    .. math:: E\sigma = \frac2\pi \int_0^\infty \sqrt{\frac{1 - h(m)}{m}}\, h'(m)\, dm, \qquad
              h(m) = E \frac{t m}{1 + t m}.

    For the identity (and for every smooth activation with slope 1 at 0 as q falls to 0) h = m / (1 + m) at
    scale 1 and the mean is :math:`8 / (3 \pi) = 0.849`, that of the quarter circle.

    Parameters
    ----------
    activation : str, Activation, callable or Function
        Its slope may jump at 0 and is smooth elsewhere.
    q : float
        Variance of the pre-activations, > 0.
    scale : float
        n Var(W), > 0.

    Raises
    ------
    OptionError
        A number is out of range, or the activation is flat everywhere.

    References
    ----------
    Silverstein, *Strong convergence of the empirical distribution of eigenvalues of large dimensional random
    matrices*, J. Multivariate Analysis 55, 1995.

    Examples
    --------
    >>> round(predicted_mean_singular_value("identity", 1.0) * 3 * np.pi, 8)
    8.0
    >>> predicted_mean_singular_value("tanh", 0.5) < predicted_mean_singular_value("tanh", 0.1) < 0.849
    True
    """
    slope = np.broadcast_to(as_function(activation).slope(np.sqrt(positive("q", q)) * NODES), NODES.shape)
    t = positive("scale", scale) * np.square(slope)
    if not t.any():
        raise out_of_range("activation", activation, "one with a slope")
    m = np.exp(GRID)[:, None]
    left = (1.0 / (1.0 + t * m)) @ WEIGHTS  # 1 - h
    slope_of_h = (t / (1.0 + t * m) ** 2) @ WEIGHTS
    m = m[:, 0]
    return float(2.0 / np.pi * np.sum(np.sqrt(left / m) * slope_of_h * m) * (GRID[1] - GRID[0]))
