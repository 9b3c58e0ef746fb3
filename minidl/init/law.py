"""Plain distributions: independent elements, the same law for any shape."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from minidl import activations
from minidl.init.base import Initializer
from minidl.init.checks import check_largest

__all__ = ["Law"]


@dataclass(frozen=True, repr=False)
class Law(Initializer):
    """Base class of the plain distributions: independent elements, the same law for any shape.

    A subclass defines ``draw(view, key)``, ``largest()``, ``variance``, ``bound`` and ``cdf``, and
    ``center()`` unless the mean is 0.

    Examples
    --------
    >>> from minidl.init import Uniform
    >>> isinstance(Uniform(-1.0, 1.0), Law), Uniform(-1.0, 1.0).std()
    (True, 0.5773502691896257)
    """

    def draw(self, view: np.ndarray, key: tuple[int, int]) -> None:
        """Write the numbers of a stream."""
        raise NotImplementedError

    def largest(self) -> float:
        """Return a number that no absolute value of a draw exceeds."""
        return self.bound()

    def fill(self, view, stream, fan_in=None, fan_out=None):
        if not view.size:
            return
        check_largest(self, self.largest(), view.dtype)
        self.draw(view, stream.key)

    def law(self, fan_in=None, fan_out=None):
        return self

    def center(self) -> float:
        """Return the mean of an element."""
        return 0.0

    def variance(self, fan_in=None, fan_out=None):
        raise NotImplementedError

    def std(self, fan_in=None, fan_out=None):
        """Return the standard deviation of an element."""
        return math.sqrt(self.variance())

    def bound(self, fan_in=None, fan_out=None):
        raise NotImplementedError

    def cdf(self, fan_in=None, fan_out=None):
        raise NotImplementedError

    def suits(self, activation, depth=10, limit=1e3):
        """Judge by mean-field theory; it holds for weights of mean 0 only, others are refused."""
        if self.center() == 0.0:
            return super().suits(activation, depth, limit)
        from minidl.theory import Verdict

        activations.get(activation)  # an unknown one is a mistake all the same
        reason = (
            f"weights of mean {self.center():.6g} give all units of a layer a common part, which grows with "
            "the width: the units become copies of each other."
        )
        return Verdict(False, reason)
