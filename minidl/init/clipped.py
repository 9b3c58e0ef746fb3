"""Another initializer's weights, cut off at a bound."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minidl.errors import OptionError
from minidl.init.base import Initializer
from minidl.init.distributions import TruncatedNormal, Uniform
from minidl.init.law import Law
from minidl.init.registry import get, register
from minidl.init.scaled import Changed
from minidl.options import positive

__all__ = ["Clipped"]


@register("clipped")
@dataclass(frozen=True, repr=False)
class Clipped(Changed):
    r"""The weight of another initializer, numbers beyond a bound replaced by the bound.

    .. math:: W = \min(\max(V, -b), b)

    Not to be confused with a truncated law (:class:`TruncatedNormal`), which draws again: a clipped one has
    an atom at each bound, with the probability of all that lay beyond. It has no density, and more
    variance than the truncated law.

    Parameters
    ----------
    base : Initializer, str, ndarray or callable
        As for :func:`get`. Its bias is left as it is.
    n_std : float, optional
        The bound b in standard deviations of an element of the base, > 0.
    at : float, optional
        Or the bound b itself, > 0.

    Raises
    ------
    OptionError
        Not exactly one of `n_std` and `at` is given; or `n_std` with a base whose standard deviation is
        not known.

    Examples
    --------
    >>> from minidl.init import He
    >>> clipped = Clipped(He(), n_std=2.0)
    >>> clipped.bound(200, 10)
    0.2
    >>> round(clipped.variance(200, 10) / He().variance(200, 10), 6)
    0.920537
    """

    base: Initializer
    n_std: float | None = None
    at: float | None = None
    formula: ClassVar[str] = "W = the weight of base, cut off at -b and b"
    assumes: ClassVar[str] = "what its base assumes"
    fails: ClassVar[str] = "a bound below a standard deviation: most weights are one of two numbers"
    distribution: ClassVar[str] = "clipped"
    paper: ClassVar[str] = "none (a combination)"
    examples: ClassVar[tuple[str, ...]] = ("Clipped(He(), n_std=2.0)", "Clipped(LeCun(), at=0.1)")

    def __post_init__(self):
        self._set(base=get(self.base))
        if (self.n_std is None) == (self.at is None):
            raise OptionError(
                f"n_std={self.n_std!r}, at={self.at!r}: give one of the two, the bound in standard "
                "deviations or the bound itself."
            )
        name = "at" if self.n_std is None else "n_std"
        self._set(**{name: positive(name, getattr(self, name))})

    def resolve(self, spec):
        base, reason = self.base.resolve(spec)
        return Clipped(base, self.n_std, self.at), reason

    def change(self, values, spec, fan_in, fan_out):
        base = self.base if spec is None else self.base.resolve(spec)[0]
        bound = self.at if self.n_std is None else self.n_std * base.std(fan_in, fan_out)
        return np.clip(values, -bound, bound)

    def bound(self, fan_in, fan_out):
        """Return b, or the bound of the base if that is smaller."""
        bound = self.at if self.n_std is None else self.n_std * self.base.std(fan_in, fan_out)
        return min(bound, self.base.bound(fan_in, fan_out))

    def law(self, fan_in, fan_out):
        raise OptionError(
            f"{self!r}: a clipped law has atoms at its bounds and no name; cdf, variance and bound are known."
        )

    def cdf(self, fan_in, fan_out):
        """Return that of the base between the bounds; it jumps at both."""
        cdf, bound = self.base.cdf(fan_in, fan_out), self.bound(fan_in, fan_out)

        def clipped(x):
            x = np.asarray(x)
            return np.where(x < -bound, 0.0, np.where(x < bound, cdf(x), 1.0))

        return clipped

    def variance(self, fan_in, fan_out):
        r"""Return the variance after the cut, from the distribution function F of the base.

        .. math:: E W = b - \int_0^b F(x) + F(-x)\,dx, \quad E W^2 = b^2 - \int_0^b 2x\,(F(x) - F(-x))\,dx
        """
        law = self.base.law(fan_in, fan_out)
        bound = min(self.bound(fan_in, fan_out), law.largest())  # beyond, F is 0 or 1
        cdf = law.cdf()
        ends = sorted({0.0, bound, *(abs(x) for x in _kinks(law) if abs(x) < bound)})
        nodes, weights = np.polynomial.legendre.leggauss(60)
        mean, square = bound, bound * bound
        for low, high in itertools.pairwise(ends):
            x = (low + high + (high - low) * nodes) / 2.0
            above, below = cdf(x), cdf(-x)
            mean -= (high - low) / 2.0 * weights @ (above + below)
            square -= (high - low) / 2.0 * weights @ (2.0 * x * (above - below))
        return max(0.0, float(square - mean * mean))


def _kinks(law: Law) -> tuple[float, ...]:
    """Return where the distribution function of a law is not smooth."""
    if isinstance(law, Uniform):
        return law.low, law.high
    if isinstance(law, TruncatedNormal):
        return law.mean - law.cut * law.pre_std, law.mean + law.cut * law.pre_std
    return (law.value,) if hasattr(law, "value") else ()
