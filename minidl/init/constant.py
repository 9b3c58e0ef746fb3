"""Constants: zeros, ones, or any number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minidl import activations
from minidl.init.law import Law
from minidl.init.registry import register
from minidl.options import finite

__all__ = ["Constant", "Ones", "Zeros"]


@dataclass(frozen=True, repr=False)
class _SameValue(Law):
    """What the constants share; `value` is a class attribute or a field."""

    distribution: ClassVar[str] = "constant"
    paper: ClassVar[str] = "none (a definition)"

    def draw(self, view, key):
        view[...] = self.value

    def variance(self, fan_in=None, fan_out=None):
        """Return 0."""
        return 0.0

    def bound(self, fan_in=None, fan_out=None):
        """Return the absolute value of the constant."""
        return abs(self.value)

    def center(self):
        """Return the constant."""
        return self.value

    def cdf(self, fan_in=None, fan_out=None):
        """Return the step function at the constant."""
        return lambda x: np.where(np.asarray(x) < self.value, 0.0, 1.0)

    def suits(self, activation, depth=10, limit=1e3):
        """No hidden layer, whatever its activation."""
        from minidl.theory import Verdict

        activations.get(activation)  # an unknown one is a mistake all the same
        return Verdict(False, f"{self.fails}.")


@register("zeros")
@dataclass(frozen=True, repr=False)
class Zeros(_SameValue):
    """All elements 0: for biases, the last layer of a residual branch, or a readout.

    A hidden layer of zeros learns nothing where act(0) = 0, and otherwise its units stay equal.

    Examples
    --------
    >>> Zeros().init((1, 2), rng=0)
    array([[0., 0.]], dtype=float32)
    """

    formula: ClassVar[str] = "W = 0"
    assumes: ClassVar[str] = "other parameters break the symmetry: a bias, a readout, the end of a branch"
    fails: ClassVar[str] = (
        "a hidden layer of zeros learns nothing where act(0) = 0, and otherwise its units stay equal"
    )
    examples: ClassVar[tuple[str, ...]] = ("Zeros()",)
    value: ClassVar[float] = 0.0


@register("ones")
@dataclass(frozen=True, repr=False)
class Ones(_SameValue):
    """All elements 1: for the scale of a normalization.

    Units with equal weights stay equal under training, so this is not for a hidden weight.

    Examples
    --------
    >>> Ones().init((1, 2), rng=0)
    array([[1., 1.]], dtype=float32)
    """

    formula: ClassVar[str] = "W = 1"
    assumes: ClassVar[str] = "a scale that multiplies each unit by itself, as in a normalization"
    fails: ClassVar[str] = "a hidden weight: units with equal weights stay equal, so the layer has rank 1"
    examples: ClassVar[tuple[str, ...]] = ("Ones()",)
    value: ClassVar[float] = 1.0


@register("constant")
@dataclass(frozen=True, repr=False)
class Constant(_SameValue):
    """All elements equal to `value`.

    Units with equal weights stay equal under training, so this is not for a hidden weight.

    Parameters
    ----------
    value : float
        Finite.

    Examples
    --------
    >>> Constant(0.1).init((1, 2), rng=0)
    array([[0.1, 0.1]], dtype=float32)
    """

    value: float
    formula: ClassVar[str] = "W = value"
    assumes: ClassVar[str] = "a bias or a scale"
    fails: ClassVar[str] = "a hidden weight: units with equal weights stay equal, so the layer has rank 1"
    examples: ClassVar[tuple[str, ...]] = ("Constant(-0.25)",)

    def __post_init__(self):
        self._set(value=finite("value", self.value))
