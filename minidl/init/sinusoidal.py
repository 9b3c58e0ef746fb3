"""Sinusoidal weights: every unit a wave of its own, no random numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minidl.errors import ShapeError
from minidl.init.base import Initializer
from minidl.init.checks import check_fans, check_largest, check_matrix
from minidl.init.gain import check_gain, gain_value
from minidl.init.measured import measured_verdict
from minidl.init.registry import register
from minidl.init.statistics import total
from minidl.init.variance_scaling import FANS
from minidl.kernels import vmath
from minidl.options import choice

__all__ = ["Sinusoidal", "waves"]

#: (n_in, n_out) for which there are no waves: every angle is a multiple of half a turn.
ALL_ZERO = {(1, 1), (1, 2), (2, 1), (2, 2)}
#: Width of the network for :meth:`Sinusoidal.suits`.
WIDTH = 128


def waves(n_in: int, n_out: int) -> np.ndarray:
    r"""Return :math:`\sin(k (2\pi j / n_{in} + 2\pi / n_{out}))` for j = 0 .. n_in - 1, k = 1 .. n_out.

    The angle is a fraction of a turn with the denominator n_in n_out: it is reduced to less than one turn in
    integers, so that the zeros are exact, and so are the bits on every machine.

    Examples
    --------
    >>> waves(4, 2).round(12) + 0.0
    array([[ 0.,  0.],
           [-1.,  0.],
           [ 0.,  0.],
           [ 1.,  0.]])
    """
    j, k = np.arange(n_in, dtype=np.int64)[:, None], np.arange(1, n_out + 1, dtype=np.int64)
    turn = n_in * n_out
    part = (j * k % n_in * n_out + k % n_out * n_in) % turn
    sines = vmath("sin", 2.0 * math.pi * (part / turn))
    sines[2 * part % turn == 0] = 0.0
    return sines


@register("sinusoidal")
@dataclass(frozen=True, repr=False)
class Sinusoidal(Initializer):
    r"""Unit k is a wave of frequency k over the inputs.

    .. math:: W_{jk} = A \sin\left(k \left(\frac{2 \pi j}{n_{in}} + \frac{2 \pi}{n_{out}}\right)\right)

    for input j = 0 .. n_in - 1 and output k = 1 .. n_out, with the amplitude A for which the mean square of
    the elements is :math:`\mathrm{gain}^2 / n`, n the fan of `mode`: near :math:`\mathrm{gain} \sqrt{2 / n}`,
    since the mean square of a wave is A^2 / 2. The weights of a unit sum to zero unless k is a multiple of
    n_in, so that units do not lean to one side.

    Parameters
    ----------
    gain : float or str
        Finite and > 0; or the name of an activation, for :math:`1/\sqrt{E[\varphi(z)^2]}`.
    mode : {"fan_avg", "fan_in", "fan_out", "fan_geo"}
        The code of the authors has fan_avg: the variance 2 / (fan_in + fan_out) of Xavier.

    Raises
    ------
    OptionError
        A value is outside its range.
    ShapeError
        All sines are zero: so it is where neither inputs nor outputs are more than two.

    Notes
    -----
    Samples of waves of the frequencies k, n_in - k and n_in + k span the same two dimensions, or fewer. A
    weight of shape (64, 64) has the rank 31, one of 64 inputs and 128 outputs the rank 32: half of what
    the layer sees is lost. The seed changes nothing. A kernel of a convolution is filled as the matrix of
    shape (fan_in, outputs).

    References
    ----------
    Fernández-Hernández, Mestre, Dolz, Duato, Quintana-Ortí, *Sinusoidal initialization, time for a new
    start*, 2025, arXiv:2505.12909.

    Examples
    --------
    >>> w = Sinusoidal().init((4, 3), rng=0, dtype="float64")
    >>> bool(np.allclose(w.sum(axis=0), 0.0)), round(float(np.mean(w * w)), 12)
    (True, 0.285714285714)
    """

    gain: float | str = 1.0
    mode: str = "fan_avg"
    formula: ClassVar[str] = (
        "W[j, k] = A sin(k (2 pi j / n_in + 2 pi / n_out)), A so that mean W^2 = gain^2 / fan"
    )
    assumes: ClassVar[str] = "that balanced weights matter more than independent ones"
    fails: ClassVar[str] = (
        "rank by aliasing: frequencies k and n_in - k are the same on n_in points, so that about half the "
        "directions of the input are lost (rank 31 of a 64 x 64 weight), and the others are doubled: q grows "
        "where mean-field theory says it stays"
    )
    paper: ClassVar[str] = (
        "Fernández-Hernández, Mestre, Dolz, Duato, Quintana-Ortí 2025, Sinusoidal initialization, time for a "
        "new start, arXiv:2505.12909"
    )
    distribution: ClassVar[str] = "deterministic"
    examples: ClassVar[tuple[str, ...]] = ("Sinusoidal(gain='relu', mode='fan_in')", "Sinusoidal(gain=0.5)")

    def __post_init__(self):
        self._set(gain=check_gain(self.gain))
        choice("mode", self.mode, FANS)

    def fill_weight(self, spec, stream, weight):
        if (spec.fan_in, spec.n_outputs) in ALL_ZERO:
            raise ShapeError(
                f"layer {spec.path!r}: all sines of Sinusoidal are zero for {spec.fan_in} inputs and "
                f"{spec.n_outputs} outputs. Use another scheme for a layer so small."
            )
        super().fill_weight(spec, stream, weight)

    def fill(self, view, stream, fan_in, fan_out):
        check_matrix(self, view)
        if not view.size:
            return
        if view.shape in ALL_ZERO:
            raise ShapeError(f"{self!r}: all sines are zero for the shape {view.shape}.")
        sines = waves(*view.shape)
        square = total(sines * sines)
        amplitude = math.sqrt(self.variance(fan_in, fan_out) * sines.size / square)
        check_largest(self, amplitude, view.dtype)
        view[...] = amplitude * sines

    def variance(self, fan_in, fan_out):
        """Return the mean square of the elements, gain^2 / fan."""
        check_fans(fan_in, fan_out)
        gain = gain_value(self.gain)
        return gain * gain / FANS[self.mode](fan_in, fan_out)

    def suits(self, activation, depth=10, limit=1e3):
        """Judge by measurement: the waves are too regular for mean-field theory.

        All energy of a square weight is in half the directions, so that in a linear network q doubles with
        each layer where random weights of the same variance would keep it.
        """
        weight = self.init((WIDTH, WIDTH), 0, np.float64)
        return measured_verdict(activation, weight, f"{WIDTH} waves", depth, limit)
