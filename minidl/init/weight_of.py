"""What the schemes share that leave the weight to another initializer and have a bias of their own."""

from __future__ import annotations

from dataclasses import dataclass

from minidl.init.base import Initializer

__all__ = ["WeightOf"]


@dataclass(frozen=True, repr=False)
class WeightOf(Initializer):
    """Base class: the weight, and all that is known of it, is that of another initializer.

    A subclass has a field `weight`, or gives another one that name, and defines ``init_layer``.

    Examples
    --------
    >>> from minidl.init import Clipped, He, Pair, Zeros
    >>> Pair(Clipped(He(), n_std=2.0), Zeros()).bound(200, 10)
    0.2
    """

    @property
    def mode(self) -> str:
        """The fan that the weight is divided by."""
        return self.weight.mode

    @property
    def distribution(self) -> str:
        """That of the weight."""
        return self.weight.distribution

    def fill_weight(self, spec, stream, weight):
        self.weight.fill_weight(spec, stream, weight)

    def fill(self, view, stream, fan_in, fan_out):
        self.weight.fill(view, stream, fan_in, fan_out)

    def check_network(self, specs):
        self.weight.check_network(specs)

    def law(self, fan_in, fan_out):
        return self.weight.law(fan_in, fan_out)

    def variance(self, fan_in, fan_out):
        """Return the variance of an element of the weight."""
        return self.weight.variance(fan_in, fan_out)

    def bound(self, fan_in, fan_out):
        """Return the bound of an element of the weight."""
        return self.weight.bound(fan_in, fan_out)

    def cdf(self, fan_in, fan_out):
        """Return the cumulative distribution function of an element of the weight."""
        return self.weight.cdf(fan_in, fan_out)

    def lr_multipliers(self, spec):
        """Return those that the rule of the weight requires."""
        return self.weight.lr_multipliers(spec)
