"""Sparse weights: every unit reads a few of its inputs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minidl.errors import OptionError
from minidl.init.base import Initializer
from minidl.init.checks import check_largest, check_matrix
from minidl.init.distributions import Normal
from minidl.init.gain import check_gain, gain_value
from minidl.init.registry import register
from minidl.options import count, number, positive

__all__ = ["Sparse"]


@register("sparse")
@dataclass(frozen=True, repr=False, init=False)
class Sparse(Initializer):
    r"""Every output has the same number of non-zero weights, at random inputs, from a normal law.

    With k of fan_in weights not zero, the variance of an element is

    .. math:: \mathrm{Var}(W) = \frac{k}{\mathrm{fan\_in}}\, \mathrm{std}^2,

    so that a unit has a total input of variance k std^2 q, which does not depend on fan_in: the units are as
    different from each other as k independent terms allow, and do not saturate in a wide layer.

    Parameters
    ----------
    nonzero : int, optional
        k, at least 1; a layer with fewer inputs uses all of them. The default is 15, unless `sparsity` is
        given.
    sparsity : float, optional
        Instead of `nonzero`, the fraction of zeros, in [0, 1]: :math:`k = \mathrm{round}((1 - s)\,
        \mathrm{fan\_in})`, but at least 1 for s < 1.
    std : float, optional
        Standard deviation of the non-zero weights, finite and > 0. The default is 1, unless `gain` is given.
    gain : float or str, optional
        Instead of `std`, :math:`\mathrm{std} = \mathrm{gain} / \sqrt k`, for which the layer has the
        variance :math:`\mathrm{gain}^2 / \mathrm{fan\_in}` of a dense one: 1 for LeCun's, the name of an
        activation for its gain, "relu" for He's.

    Attributes
    ----------
    sigma : float or None
        The argument `std`; ``std()`` is the method that every initializer has.

    Raises
    ------
    OptionError
        A value is outside its range, or both arguments of a pair are given.

    Notes
    -----
    ``torch.nn.init.sparse_`` zeroes a part of the outgoing weights of each input instead: the number of
    inputs that a unit is left with is then random, and may be 0. Its std of 0.01 suits no width in
    particular.

    Positions and values come from streams of their own; adding outputs keeps those that were there.

    References
    ----------
    Martens, *Deep learning via Hessian-free optimization*, ICML 2010. Sutskever, Martens, Dahl, Hinton, *On
    the importance of initialization and momentum in deep learning*, ICML 2013.

    Examples
    --------
    >>> w = Sparse(nonzero=2).init((100, 3), rng=0)
    >>> np.count_nonzero(w, axis=0)
    array([2, 2, 2])
    >>> round(Sparse(sparsity=0.75, gain="relu").variance(200, 10), 12)
    0.01
    """

    nonzero: int | None
    sparsity: float | None
    sigma: float | None
    gain: float | str | None
    formula: ClassVar[str] = (
        "k random weights of each output ~ N(0, std^2), all else 0; Var(W) = k std^2 / fan_in"
    )
    assumes: ClassVar[str] = "many inputs of about the same size, no few of which carry all the signal"
    fails: ClassVar[str] = (
        "std = 1 with k = 15 multiplies the signal by 15 E[act^2] per layer: made for tanh and logistic "
        "units, not for deep relu networks (use gain='relu'); inputs that few units read learn slowly"
    )
    paper: ClassVar[str] = "Martens 2010, Deep learning via Hessian-free optimization, ICML"
    distribution: ClassVar[str] = "sparse_normal"
    examples: ClassVar[tuple[str, ...]] = (
        "Sparse(nonzero=4, std=0.5)",
        "Sparse(sparsity=0.9, std=0.1)",
        "Sparse(sparsity=0.5, gain='relu')",
    )

    def __init__(
        self,
        nonzero: int | None = None,
        sparsity: float | None = None,
        std: float | None = None,
        gain: float | str | None = None,
    ):
        if nonzero is not None and sparsity is not None:
            raise OptionError(f"nonzero={nonzero!r}, sparsity={sparsity!r}: give one of them.")
        if std is not None and gain is not None:
            raise OptionError(f"std={std!r}, gain={gain!r}: give one of them.")
        if nonzero is not None:
            nonzero = count("nonzero", nonzero, minimum=1)
        if sparsity is not None:
            sparsity = number("sparsity", sparsity, "a number in [0, 1]", lambda x: 0.0 <= x <= 1.0)
        if gain is not None and sparsity == 1.0:
            raise OptionError("sparsity=1.0: all weights are zero, so no gain can be reached.")
        self._set(
            nonzero=nonzero,
            sparsity=sparsity,
            sigma=None if std is None else positive("std", std),
            gain=None if gain is None else check_gain(gain),
        )

    def arguments(self):
        return {
            "nonzero": self.nonzero,
            "sparsity": self.sparsity,
            "std": self.sigma,
            "gain": self.gain,
        }

    def kept(self, fan_in: int) -> int:
        """Return how many weights of an output are not zero.

        Examples
        --------
        >>> Sparse().kept(784), Sparse().kept(10), Sparse(sparsity=0.9).kept(784)
        (15, 10, 78)
        """
        if self.sparsity is None:
            return min(15 if self.nonzero is None else self.nonzero, fan_in)
        return 0 if self.sparsity == 1.0 else max(1, round((1.0 - self.sparsity) * fan_in))

    def _values(self, fan_in: int) -> Normal:
        """Return the law of the weights that are not zero."""
        if self.gain is not None:
            return Normal(gain_value(self.gain) / math.sqrt(self.kept(fan_in)))
        return Normal(1.0 if self.sigma is None else self.sigma)

    def fill(self, view, stream, fan_in, fan_out):
        check_matrix(self, view)
        if not view.size:
            return
        n_in, n_out = view.shape
        law, values, keep = self._values(n_in), stream.child("values"), stream.child("positions")
        check_largest(self, law.largest(), view.dtype)
        drawn = law.init((n_in, n_out), values, np.float64)
        view[...] = 0.0
        for j in range(n_out):
            chosen = keep.child(j).permutation(n_in)[: self.kept(n_in)]
            view[chosen, j] = drawn[chosen, j]

    def variance(self, fan_in, fan_out=None):
        """Return k std^2 / fan_in."""
        positive("fan_in", fan_in)
        return self.kept(fan_in) * self._values(fan_in).variance() / fan_in

    def bound(self, fan_in, fan_out=None):
        """Return infinity, or 0 if all weights are zero."""
        return math.inf if self.kept(fan_in) else 0.0

    def cdf(self, fan_in, fan_out=None):
        """Return the cumulative distribution function of an element, with its step at 0."""
        normal, density = self._values(fan_in).cdf(), self.kept(fan_in) / fan_in
        return lambda x: density * normal(x) + (1.0 - density) * (np.asarray(x) >= 0.0)
