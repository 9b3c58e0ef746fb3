"""Orthogonal weights: uniform over all orthogonal matrices, with the same bits everywhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minidl.init.base import Initializer
from minidl.init.checks import check_fans, check_largest, check_matrix
from minidl.init.gain import check_gain, gain_value
from minidl.init.law import Law
from minidl.init.registry import register
from minidl.init.streams import Stream
from minidl.kernels import matmul, random, reduce
from minidl.options import count, positive

__all__ = ["Orthogonal", "SemiOrthogonal", "SphereCoordinate", "haar"]

#: Rows of the triangular system that are solved together. It is part of what decides the last bits.
BLOCK = 32


@register("sphere_coordinate")
@dataclass(frozen=True, repr=False)
class SphereCoordinate(Law):
    r"""One coordinate of a random point on a sphere: the law of an element of an orthogonal matrix.

    For a point uniform on the sphere of radius 1 in `dim` dimensions, a coordinate t has mean 0,
    variance 1 / dim, and

    .. math:: t^2 \sim \mathrm{Beta}(\tfrac12, \tfrac{dim - 1}{2}),

    which is near the normal law for a large `dim`, uniform for 3, and a random sign for 1.

    Parameters
    ----------
    dim : int
        At least 1.
    scale : float
        Radius, finite and > 0.

    Notes
    -----
    A draw is a normal number divided by the length of the vector of `dim` normal numbers that it begins.

    Examples
    --------
    >>> SphereCoordinate(100).std()
    0.1
    """

    dim: int
    scale: float = 1.0
    formula: ClassVar[str] = "W = scale z_1 / |z|, z ~ N(0, I) in dim dimensions"
    distribution: ClassVar[str] = "sphere"
    assumes: ClassVar[str] = "nothing; the elements are independent, unlike those of an orthogonal matrix"
    fails: ClassVar[str] = "blind to the width of the layer: dim and scale are fixed"
    paper: ClassVar[str] = "none (a definition)"
    examples: ClassVar[tuple[str, ...]] = ("SphereCoordinate(9, scale=0.5)",)

    def __post_init__(self):
        self._set(dim=count("dim", self.dim, minimum=1), scale=positive("scale", self.scale))

    def fill(self, view, stream, fan_in=None, fan_out=None):
        check_largest(self, self.scale, view.dtype)
        columns = view if view.ndim == 2 else view[:, None]
        z = np.empty((self.dim, len(columns)))
        for j in range(columns.shape[1] if columns.size else 0):
            random.fill_normal(z, stream.child(j).key, 0.0, 1.0)
            columns[:, j] = self.scale * (z[0] / np.sqrt(reduce("sum", z * z, axis=0)))

    def variance(self, fan_in=None, fan_out=None):
        """Return scale^2 / dim."""
        return self.scale * self.scale / self.dim

    def bound(self, fan_in=None, fan_out=None):
        """Return the scale."""
        return self.scale

    def cdf(self, fan_in=None, fan_out=None):
        """Return 1/2 + 1/2 sign(t) I(t^2; 1/2, (dim - 1)/2), with the incomplete beta function I."""
        from scipy.special import betainc

        def cdf(x):
            if self.dim == 1:
                return 0.5 * (np.asarray(x) >= -self.scale) + 0.5 * (np.asarray(x) >= self.scale)
            t = np.clip(np.asarray(x, np.float64) / self.scale, -1.0, 1.0)
            return 0.5 + 0.5 * np.sign(t) * betainc(0.5, 0.5 * (self.dim - 1), t * t)

        return cdf


def haar(rows: int, columns: int, stream: Stream) -> np.ndarray:
    r"""Return a matrix with orthonormal columns, uniform over all of them (Haar measure).

    Column k of a Gaussian matrix gives a reflection :math:`H_k = I - 2 v v^T / v^T v` of the coordinates
    k, k+1, ..., with :math:`v = x + \mathrm{sign}(x_k) |x| e_k`, and

    .. math:: Q = H_0 H_1 \cdots H_{n-1} \, \mathrm{diag}(-\mathrm{sign}\, x_k).

    The QR decomposition with a positive diagonal of a Gaussian matrix has a Q of just this law: what is left
    to reduce in column k, after k reflections that know nothing of it, is Gaussian again. So the
    decomposition itself need not be computed. Without the signs the law is another one: the k-th element of
    column k would always be negative.

    The product of the reflections is :math:`I - V S^{-1} V^T`, with S the upper triangle of
    :math:`V^T V`, its diagonal halved, and the vectors scaled to begin with 1: then
    :math:`S + S^T = V^T V` is all that orthogonality takes.
    Column k depends on the reflections 0 .. k only, so more columns leave the earlier ones as they are.

    Parameters
    ----------
    rows, columns : int
        ``rows >= columns >= 1``.
    stream : Stream

    Returns
    -------
    ndarray of float64, shape (rows, columns)

    References
    ----------
    Stewart, *The efficient generation of random orthogonal matrices with an application to condition
    estimators*, SIAM J. Numer. Anal. 17 (1980) 403-409. Mezzadri, *How to generate random matrices from the
    classical compact groups*, Notices of the AMS 54 (2007) 592-604, arXiv:math-ph/0609050. Joffrain, Low,
    Quintana-Ortí, van de Geijn, Van Zee, *Accumulating Householder transformations, revisited*, ACM TOMS 32
    (2006) 169-179.

    Examples
    --------
    >>> q = haar(3, 2, Stream(0))
    >>> bool(np.allclose(q.T @ q, np.eye(2)))
    True
    """
    v = np.empty((rows, columns))
    random.fill_normal(v, stream.key, 0.0, 1.0)
    v *= np.tri(rows, columns)
    k = np.arange(columns)
    sign = np.copysign(1.0, v[k, k])
    v[k, k] += sign * np.sqrt(reduce("sum", v * v, axis=0))
    v /= v[k, k].copy()
    s = matmul(v, v, transpose_a=True)
    s[k, k] *= 0.5
    q = matmul(v, _solve_upper(s, v[:columns]))
    np.negative(q, out=q)
    q[k, k] += 1.0
    q *= -sign
    return q


def _solve_upper(s: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Solve S X = V^T for the upper triangle S of `s` and a lower triangular `v`; X is upper triangular.

    From below, by blocks of rows counted from the top, so that the bits of a column of X do not depend on
    how many columns follow it.
    """
    n = len(s)
    x = np.array(v.T, order="C")
    for top in range((n - 1) // BLOCK * BLOCK, -1, -BLOCK):
        end = min(top + BLOCK, n)
        block = x[top:end, top:]  # what is left of it is zero
        if end < n:
            block -= matmul(s[top:end, end:], x[end:, top:])
        for i in range(end - 1, top - 1, -1):
            row = block[i - top]
            if i + 1 < end:
                row -= matmul(s[i : i + 1, i + 1 : end], block[i + 1 - top :])[0]
            row /= s[i, i]
    return x


@dataclass(frozen=True, repr=False)
class HaarWeights(Initializer):
    """What the orthogonal schemes share; a subclass has `gain` and the factor `_scale`."""

    gain: float | str = 1.0
    distribution: ClassVar[str] = "haar"
    blockwise: ClassVar[bool] = True

    def __post_init__(self):
        self._set(gain=check_gain(self.gain))

    def _scale(self, n_in: int, n_out: int) -> float:
        return gain_value(self.gain)

    def fill(self, view, stream, fan_in, fan_out):
        check_matrix(self, view)
        if view.size:
            n_in, n_out = view.shape
            scale = self._scale(n_in, n_out)
            check_largest(self, scale, view.dtype)
            q = haar(max(n_in, n_out), min(n_in, n_out), stream)
            view[...] = scale * (q if n_in >= n_out else q.T)

    def law(self, fan_in, fan_out):
        """Return the law of an element, that of a coordinate of a point on a sphere.

        For a convolution `fan_out` stands for its number of outputs, since its weight is orthogonal as
        the matrix of shape (fan_in, outputs).
        """
        check_fans(fan_in, fan_out)
        return SphereCoordinate(max(fan_in, fan_out), self._scale(fan_in, fan_out))


@register("orthogonal")
@dataclass(frozen=True, repr=False)
class Orthogonal(HaarWeights):
    r"""Rows or columns orthonormal, times a gain; uniform over all such matrices.

    .. math:: W W^T = \mathrm{gain}^2 I \text{ if } n_{out} \le n_{in}, \quad
              W^T W = \mathrm{gain}^2 I \text{ else}

    for W of shape (n_out, n_in). A square W keeps all lengths and angles, and so does a product of any
    number of them, while the singular values of a product of Gaussian matrices spread exponentially. The
    variance of an element is :math:`\mathrm{gain}^2 / \max(n_{in}, n_{out})`.

    Parameters
    ----------
    gain : float or str
        Finite and > 0; or the name of an activation, for :math:`1/\sqrt{E[\varphi(z)^2]}`: "relu" is
        :math:`\sqrt 2`.

    Raises
    ------
    OptionError
        The gain is neither.

    Notes
    -----
    The weight of a convolution is orthogonal as the matrix of shape (fan_in, outputs), as in PyTorch, and
    that of a grouped layer group by group. Adding outputs keeps those that were there up to
    ``n_out = n_in``. The cost is that of three products of matrices of this shape.

    References
    ----------
    Saxe, McClelland, Ganguli, *Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks*, ICLR 2014, arXiv:1312.6120.

    Examples
    --------
    >>> w = Orthogonal(gain=2.0).init((5, 3), rng=0, dtype="float64")
    >>> bool(np.allclose(w.T @ w, 4.0 * np.eye(3)))
    True
    """

    formula: ClassVar[str] = (
        "W W^T = gain^2 I (n_out <= n_in) or W^T W = gain^2 I, Haar; Var(W) = gain^2 / max(n_in, n_out)"
    )
    assumes: ClassVar[str] = "equal widths, and an activation near linear where the signal is (tanh, small q)"
    fails: ClassVar[str] = (
        "relu: no gain makes the Jacobian an isometry (Pennington et al. 2017, arXiv:1711.04735); a layer "
        "with n_out > n_in shrinks the signal by n_in / n_out, see SemiOrthogonal"
    )
    paper: ClassVar[str] = (
        "Saxe, McClelland, Ganguli 2014, Exact solutions to the nonlinear dynamics of learning in deep "
        "linear neural networks, arXiv:1312.6120"
    )
    examples: ClassVar[tuple[str, ...]] = ("Orthogonal(gain='relu')", "Orthogonal(gain=0.5)")


@register("semi_orthogonal")
@register("suo")
@dataclass(frozen=True, repr=False)
class SemiOrthogonal(HaarWeights):
    r"""Orthogonal, scaled up in a layer that widens, so that it keeps the size of the signal.

    .. math:: W = \mathrm{gain} \cdot \max(\sqrt{n_{out} / n_{in}}, 1)\, Q

    with Q of orthonormal rows or columns. The variance of an element is :math:`\mathrm{gain}^2 / n_{in}` for
    all shapes, as of LeCun's; also known as scale-corrected uniform orthogonal (SUO).

    Parameters
    ----------
    gain : float or str
        As for :class:`Orthogonal`.

    Raises
    ------
    OptionError
        The gain is neither a number > 0 nor an activation.

    References
    ----------
    Martens, Ballard, Desjardins, Swirszcz, Dalibard, Sohl-Dickstein, Schoenholz, *Rapid training of deep
    neural networks without skip connections or normalization layers using Deep Kernel Shaping*, 2021,
    arXiv:2110.01765.

    Examples
    --------
    >>> w = SemiOrthogonal().init((4, 9), rng=0, dtype="float64")
    >>> bool(np.allclose(w @ w.T, 9 / 4 * np.eye(4)))
    True
    """

    formula: ClassVar[str] = "W = gain max(sqrt(n_out / n_in), 1) Q, Q Haar; Var(W) = gain^2 / n_in"
    mode: ClassVar[str] = "fan_in"
    assumes: ClassVar[str] = "that the forward signal matters: it keeps the second moment q for any widths"
    fails: ClassVar[str] = "relu: no isometry; where widths change, gradients change by n_out / n_in"
    paper: ClassVar[str] = (
        "Martens et al. 2021, Rapid training of deep neural networks without skip connections or "
        "normalization layers using Deep Kernel Shaping, arXiv:2110.01765"
    )
    examples: ClassVar[tuple[str, ...]] = ("SemiOrthogonal(gain='tanh')", "SemiOrthogonal(gain=2.0)")

    def _scale(self, n_in, n_out):
        return gain_value(self.gain) * max(math.sqrt(n_out / n_in), 1.0)
