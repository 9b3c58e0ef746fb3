"""The identity with a little noise, for deep tanh networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minidl import activations
from minidl.init.base import Initializer
from minidl.init.checks import narrow
from minidl.init.distributions import Normal
from minidl.init.registry import register
from minidl.options import non_negative, positive

__all__ = ["TanhInit"]


@register("tanh_init")
@dataclass(frozen=True, repr=False)
class TanhInit(Initializer):
    r"""The identity plus noise: every unit of a tanh network passes one unit of the layer before on.

    .. math:: W = D + Z, \qquad D_{ij} = 1 \ \mathrm{if}\ i = j \bmod \mathrm{fan\_in}, \qquad
              Z_{ij} \sim N\!\left(0, \frac{\mathrm{noise}^2}{\mathrm{fan\_in}}\right)

    A unit computes tanh(a x) with a slope a that is near 1 and differs from unit to unit. Where a > 1 the
    map has fixed points other than 0, so the signal neither saturates nor dies, at any depth and for layers
    as narrow as two units; there is no limit of large width in it.

    Parameters
    ----------
    noise : float
        >= 0; 0.085 in the paper.

    Notes
    -----
    The authors' Keras code divides the variance by fan_out; this follows the paper.

    References
    ----------
    Lee, Choi, Kim, *Robust weight initialization for tanh neural networks with fixed point analysis*, ICLR
    2025, arXiv:2410.02242.

    Examples
    --------
    >>> TanhInit(noise=0.0).init((2, 3), rng=0)
    array([[1., 0., 1.],
           [0., 1., 0.]], dtype=float32)
    """

    noise: float = 0.085
    formula: ClassVar[str] = "W = D + Z, D_ij = 1 if i = j mod fan_in, else 0, Z ~ N(0, noise^2 / fan_in)"
    assumes: ClassVar[str] = "tanh, deep or narrow layers of similar widths"
    fails: ClassVar[str] = (
        "activations without the slope 1 at 0; narrowing layers drop all inputs after the first"
    )
    paper: ClassVar[str] = (
        "Lee, Choi, Kim 2025, Robust weight initialization for tanh neural networks with fixed point "
        "analysis, arXiv:2410.02242"
    )
    examples: ClassVar[tuple[str, ...]] = ("TanhInit()", "TanhInit(noise=0.2)")
    mode: ClassVar[str] = "fan_in"
    distribution: ClassVar[str] = "identity plus normal"

    def __post_init__(self):
        self._set(noise=non_negative("noise", self.noise))

    def fill(self, view, stream, fan_in, fan_out):
        if not view.size:
            return
        n_inputs, n_outputs = view.shape
        made = np.empty(view.shape)  # in float64, so that 1 + noise is rounded once
        Normal(self.noise / positive("fan_in", fan_in) ** 0.5).fill(made, stream)
        outputs = np.arange(n_outputs)
        made[outputs % n_inputs, outputs] += 1.0
        view[...] = narrow(self, made, view.dtype)

    def suits(self, activation, depth=10, limit=1e3):
        """Judge by a row of single units, each with the weight 1 and without noise."""
        from minidl.theory import Verdict

        act = activations.get(activation)
        x, slope = 1.0, 1.0
        for _ in range(depth):
            slope *= float(activations.derivative(act, x)) ** 2
            x = float(activations.forward(act, x))
        text = f"{act}: {depth} units in a row turn 1 into {x:.3g}, the squared gradient into {slope:.3g}."
        return Verdict(1 / limit < x * x < limit and 1 / limit < slope < limit, text)
