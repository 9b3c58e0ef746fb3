"""Plain distributions, the same for any shape: uniform, normal, truncated normal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minidl.errors import out_of_range
from minidl.init.law import Law
from minidl.init.registry import register
from minidl.kernels import random
from minidl.options import choice, finite, non_negative, number

__all__ = ["Normal", "TruncatedNormal", "Uniform"]

# No draw of a normal law is further from its mean than ndtri(1 - 2^-54) = 8.29 standard deviations.
_FARTHEST = 8.3


# The plain distributions share these.
_ASSUMES = "that the number was chosen for the width of the layer: nothing here looks at it"
_FAILS = (
    "another width: the variance of the pre-activations is fan_in times that of a weight, so wide layers "
    "saturate or explode and narrow ones vanish"
)


@register("uniform")
@dataclass(frozen=True, repr=False)
class Uniform(Law):
    r"""Uniform on [low, high]: variance :math:`(high - low)^2 / 12`.

    Parameters
    ----------
    low, high : float
        ``low < high``, both finite. The default is Keras's, and as blind to the width of a layer.

    Examples
    --------
    >>> Uniform(-3.0, 3.0).variance()
    3.0
    """

    low: float = -0.05
    high: float = 0.05
    formula: ClassVar[str] = "W ~ U(low, high), variance (high - low)^2 / 12"
    assumes: ClassVar[str] = _ASSUMES
    fails: ClassVar[str] = _FAILS
    paper: ClassVar[str] = "none (a definition; the default is that of Keras's RandomUniform)"
    distribution: ClassVar[str] = "uniform"
    examples: ClassVar[tuple[str, ...]] = ("Uniform()", "Uniform(-0.3, 0.1)")

    def __post_init__(self):
        self._set(low=finite("low", self.low), high=finite("high", self.high))
        if not self.low < self.high:
            raise out_of_range("low", self.low, f"a number < high={self.high}")
        finite("high - low", self.high - self.low)

    def draw(self, view, key):
        random.fill_uniform(view, key, self.low, self.high)

    def variance(self, fan_in=None, fan_out=None):
        """Return (high - low)^2 / 12."""
        width = self.high - self.low
        return width * width / 12.0

    def bound(self, fan_in=None, fan_out=None):
        """Return the larger absolute value of low and high."""
        return max(abs(self.low), abs(self.high))

    def center(self):
        """Return (low + high) / 2."""
        return self.low / 2.0 + self.high / 2.0

    def cdf(self, fan_in=None, fan_out=None):
        """Return the function (x - low) / (high - low), cut to [0, 1]."""
        return lambda x: np.clip((np.asarray(x) - self.low) / (self.high - self.low), 0.0, 1.0)


@register("normal")
@dataclass(frozen=True, repr=False, init=False)
class Normal(Law):
    """Normal with the given standard deviation and mean.

    Parameters
    ----------
    std : float
        Finite and >= 0. The default is Keras's, and as blind to the width of a layer.
    mean : float

    Attributes
    ----------
    sigma : float
        The argument `std`; ``std()`` is the method that every initializer has.

    Examples
    --------
    >>> Normal(0.5).variance()
    0.25
    """

    sigma: float
    mean: float
    formula: ClassVar[str] = "W ~ N(mean, std^2)"
    assumes: ClassVar[str] = _ASSUMES
    fails: ClassVar[str] = _FAILS
    paper: ClassVar[str] = (
        "none (a definition; std=0.02 is the rule of Radford, Metz, Chintala 2015, DCGAN, arXiv:1511.06434)"
    )
    distribution: ClassVar[str] = "normal"
    examples: ClassVar[tuple[str, ...]] = ("Normal()", "Normal(0.02)", "Normal(0.3, mean=1.0)")

    def __init__(self, std: float = 0.05, mean: float = 0.0):
        self._set(sigma=non_negative("std", std), mean=finite("mean", mean))

    def arguments(self):
        return {"std": self.sigma, "mean": self.mean}

    def draw(self, view, key):
        random.fill_normal(view, key, self.mean, self.sigma)

    def largest(self):
        """Return a number that no absolute value of a draw exceeds."""
        return abs(self.mean) + _FARTHEST * self.sigma

    def variance(self, fan_in=None, fan_out=None):
        """Return std^2."""
        return self.sigma * self.sigma

    def bound(self, fan_in=None, fan_out=None):
        """Return infinity (if std > 0)."""
        return math.inf if self.sigma > 0.0 else abs(self.mean)

    def center(self):
        """Return the mean."""
        return self.mean

    def cdf(self, fan_in=None, fan_out=None):
        """Return the normal cumulative distribution function."""
        from scipy.special import ndtr

        if self.sigma == 0.0:
            return lambda x: np.where(np.asarray(x) < self.mean, 0.0, 1.0)
        return lambda x: ndtr((np.asarray(x) - self.mean) / self.sigma)


@register("truncated_normal")
@dataclass(frozen=True, repr=False, init=False)
class TruncatedNormal(Law):
    r"""Normal, cut at `cut` standard deviations on either side.

    With s the standard deviation before the cut, elements lie within :math:`mean \pm cut \cdot s`
    and have the standard deviation

    .. math:: \tau s,\quad \tau^2 = 1 - \frac{2\,cut\,\varphi(cut)}{2\Phi(cut) - 1},

    0.8796 s for cut = 2. Libraries disagree about which of the two they call std; here it is the one that
    the elements have, unless `std_is` says otherwise.

    Parameters
    ----------
    std : float
        Finite and >= 0.
    mean : float
    cut : float
        In units of s; finite and at least 0.001.
    std_is : {"post", "pre"}
        Whether `std` is the standard deviation after the cut, :math:`\tau s`, or before it, s (as
        in PyTorch, Keras and JAX functions of this name).

    Attributes
    ----------
    sigma : float
        The argument `std`; ``std()`` is the method that every initializer has.
    pre_std : float
        The standard deviation s before the cut.

    Examples
    --------
    >>> TruncatedNormal(1.0).bound()
    2.27369446...
    >>> TruncatedNormal(1.0, std_is="pre").bound()
    2.0
    """

    sigma: float
    mean: float
    cut: float
    std_is: str
    formula: ClassVar[str] = "W ~ N(mean, s^2) given |W - mean| <= cut s; s such that W has the given std"
    assumes: ClassVar[str] = _ASSUMES
    fails: ClassVar[str] = _FAILS
    paper: ClassVar[str] = "none (a definition)"
    distribution: ClassVar[str] = "truncated_normal"
    examples: ClassVar[tuple[str, ...]] = (
        "TruncatedNormal()",
        "TruncatedNormal(0.1, mean=2.0, cut=1.5)",
        "TruncatedNormal(0.5, std_is='pre')",
    )

    def __init__(self, std: float = 0.05, mean: float = 0.0, cut: float = 2.0, std_is: str = "post"):
        self._set(
            sigma=non_negative("std", std),
            mean=finite("mean", mean),
            cut=number("cut", cut, "a finite number >= 0.001", lambda x: x >= 0.001),
            std_is=choice("std_is", std_is, ("post", "pre")),
        )

    def arguments(self):
        return {"std": self.sigma, "mean": self.mean, "cut": self.cut, "std_is": self.std_is}

    @property
    def pre_std(self) -> float:
        """The standard deviation s before the cut."""
        return self.sigma if self.std_is == "pre" else self.sigma / truncated_std(self.cut)

    def draw(self, view, key):
        random.fill_truncated_normal(view, key, self.mean, self.pre_std, -self.cut, self.cut)

    def largest(self):
        """Return a number that no absolute value of a draw exceeds."""
        return abs(self.mean) + min(self.cut, _FARTHEST) * self.pre_std

    def variance(self, fan_in=None, fan_out=None):
        """Return the variance after the cut."""
        std = self.pre_std * truncated_std(self.cut)
        return std * std

    def bound(self, fan_in=None, fan_out=None):
        """Return |mean| + cut s."""
        return abs(self.mean) + self.cut * self.pre_std

    def center(self):
        """Return the mean, which the cut on both sides leaves where it is."""
        return self.mean

    def cdf(self, fan_in=None, fan_out=None):
        """Return the cumulative distribution function of the cut law."""
        from scipy.special import ndtr

        if self.sigma == 0.0:
            return lambda x: np.where(np.asarray(x) < self.mean, 0.0, 1.0)

        def cdf(x):
            z = np.clip((np.asarray(x) - self.mean) / self.pre_std, -self.cut, self.cut)
            return (ndtr(z) - ndtr(-self.cut)) / (ndtr(self.cut) - ndtr(-self.cut))

        return cdf


def truncated_std(cut: float) -> float:
    r"""Return the standard deviation of a standard normal law cut to [-cut, cut].

    From :math:`2\Phi(k) - 1 = 2 \varphi(k) k\,T` with :math:`T = 1 + k^2/3 + k^4/(3 \cdot 5) + \dots`
    follows :math:`\tau^2 = 1 - 1/T`: a series of positive terms, without exp or erf of the C library,
    whose last bits differ from system to system.

    Examples
    --------
    >>> round(truncated_std(2.0), 14)
    0.87962566103424
    """
    if cut >= 9.0:
        return 1.0  # the difference is below one unit in the last place
    term, rest, n = 1.0, 0.0, 3
    while term > 1e-18 * rest:
        term *= cut * cut / n
        rest += term
        n += 2
    return math.sqrt(rest / (1.0 + rest))
