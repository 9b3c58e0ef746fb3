"""Randomized asymmetric initialization: a positive number per unit keeps narrow relu nets from dying."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minidl import activations
from minidl.init.base import Initializer
from minidl.init.checks import check_arrays
from minidl.init.distributions import Normal
from minidl.init.registry import register
from minidl.init.streams import Stream, as_stream
from minidl.options import positive

__all__ = ["RAI"]

SIGMA = 0.6007


@register("rai")
@register("randomized_asymmetric")
@dataclass(frozen=True, repr=False)
class RAI(Initializer):
    r"""Randomized asymmetric initialization for deep and narrow relu networks.

    .. math:: V \in R^{\mathrm{out} \times (\mathrm{fan\_in} + 1)}, \quad
              V_{ij} \sim N\!\left(0, \frac{0.6007^2}{\mathrm{fan\_in}}\right), \quad
              V_{j k_j} \sim \mathrm{Beta}(2, 1), \quad [W^T, b] = V

    The weights of each unit and its bias are a row of V, in which one entry at random, :math:`k_j`, is drawn
    from the density 2x on [0, 1] instead. With a symmetric law every unit is negative with probability 1/2
    for a given input, so all units of a layer with n of them are with probability :math:`2^{-n}`; a network
    in which that happens for all inputs never learns. The positive entries make it rare.

    Notes
    -----
    As ``init`` shows it, without a bias, a unit whose k is that of the bias has normal weights only.

    References
    ----------
    Lu, Shin, Su, Karniadakis, *Dying ReLU and initialization: theory and numerical examples*, 2019,
    arXiv:1903.06733.

    Examples
    --------
    >>> weight = RAI().init((1000, 500), rng=0)  # normal ones have the standard deviation 0.019
    >>> bool(0.4 < np.mean(weight.max(axis=0) > 0.5))
    True
    """

    formula: ClassVar[str] = (
        "(W, b) of a unit ~ N(0, 0.6007^2 / fan_in), one of these numbers at random ~ Beta(2, 1)"
    )
    assumes: ClassVar[str] = "relu, many narrow layers (2 to 20 units)"
    fails: ClassVar[str] = (
        "wide or shallow nets gain nothing: the squared signal falls by a factor of about 0.8 per layer, and "
        "the positive entries give it a mean"
    )
    paper: ClassVar[str] = (
        "Lu, Shin, Su, Karniadakis 2019, Dying ReLU and initialization: theory and numerical examples, "
        "arXiv:1903.06733"
    )
    examples: ClassVar[tuple[str, ...]] = ("RAI()",)
    mode: ClassVar[str] = "fan_in"
    distribution: ClassVar[str] = "normal and beta"

    def init_layer(self, spec, seed, weight, bias=None):
        check_arrays(spec, weight, bias)
        stream = as_stream(seed).child(spec.path)
        self.fill_weight(spec, stream.child("weight"), weight)
        if bias is None:
            return
        bias[...] = 0.0
        if bias.size and spec.fan_in:
            Normal(SIGMA / spec.fan_in**0.5).fill(bias, stream.child("bias"))
            entry, value = _asymmetric(stream.child("weight"), len(bias), spec.fan_in)
            own = entry == spec.fan_in
            bias[own] = value[own]

    def fill(self, view, stream, fan_in, fan_out):
        if not view.size:
            return
        n_inputs, n_outputs = view.shape
        Normal(SIGMA / positive("fan_in", fan_in) ** 0.5).fill(view, stream)
        entry, value = _asymmetric(stream, n_outputs, n_inputs)
        inside = np.flatnonzero(entry < n_inputs)
        view[entry[inside], inside] = value[inside]

    def variance(self, fan_in, fan_out):
        """Return the variance of an element of the weight: a mixture, with mean 2/3 / (fan_in + 1)."""
        share = 1.0 / (positive("fan_in", fan_in) + 1.0)
        # Beta(2, 1) has the mean 2/3 and the second moment 1/2
        return (1.0 - share) * SIGMA**2 / fan_in + share / 2.0 - (share * 2.0 / 3.0) ** 2

    def bias_variance(self, fan_in, fan_out):
        """Return the variance of an element of the bias, which is drawn like the weights."""
        return self.variance(fan_in, fan_out)

    def suits(self, activation, depth=10, limit=1e3):
        """Judge by the factor per layer that relu nets of width 100 show; the scheme is for narrow ones."""
        from minidl.theory import Verdict

        name = activations.get(activation).name
        if name in ("relu", "leaky_relu"):
            left = 0.8**depth
            text = f"{name}: the squared signal falls to about {left:.2g} in {depth} layers."
            return Verdict(left > 1.0 / limit, text)
        return Verdict(
            False, f"{name}: the positive entries are for relu; elsewhere they only shift the mean."
        )


def _asymmetric(stream: Stream, n_outputs: int, fan_in: int) -> tuple[np.ndarray, np.ndarray]:
    """Return for each output the entry that is drawn anew, fan_in for the bias, and its Beta(2, 1) value."""
    entry = np.floor(_uniform(stream.child("entry"), n_outputs) * (fan_in + 1)).astype(np.int64)
    # the distribution function of Beta(2, 1) is x^2; u (fan_in + 1) may round up to fan_in + 1
    return np.minimum(entry, fan_in), np.sqrt(_uniform(stream.child("value"), n_outputs))


def _uniform(stream: Stream, n: int) -> np.ndarray:
    """Return n numbers in (0, 1), in float64."""
    return ((stream.raw(n) >> np.uint64(11)) + 0.5) * 2.0**-53
