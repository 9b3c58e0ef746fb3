"""Nguyen and Widrow's rule: the active regions of the units tile the box of the inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minidl.errors import OptionError
from minidl.init.base import Initializer
from minidl.init.checks import check_arrays, narrow
from minidl.init.distributions import Normal, Uniform
from minidl.init.registry import register
from minidl.init.streams import as_stream
from minidl.options import choice, finite, positive, significant

__all__ = ["NguyenWidrow"]

SPREADS = ("random", "even")


@register("nguyen_widrow")
@register("initnw")
@dataclass(frozen=True, repr=False)
class NguyenWidrow(Initializer):
    r"""Nguyen and Widrow: each unit is active in a stripe of the input box, and the stripes tile it.

    With H units and n inputs in [-1, 1], the incoming weights of a unit have a random direction and the
    length :math:`\beta`, its bias lies within :math:`\pm\beta`:

    .. math:: \beta = 0.7\, H^{1/n}, \qquad \|w_j\| = \beta, \qquad b_j \sim U(-\beta, \beta)

    A unit is then active, \|w x + b\| < 1, in a stripe of width :math:`2 / \beta`; the box has about
    :math:`H^{1/n}` of them in every direction, each overlapping its neighbours by some 30 %.

    Parameters
    ----------
    biases : {"random", "even"}
        "even" is the variant of MATLAB's ``initnw``: evenly spaced from :math:`-\beta` to :math:`\beta`, with
        the sign of the unit's first weight; 0 for an only unit.
    active : float
        The activation is active within ± this, > 0: everything is made larger by it. 1 in the paper;
        MATLAB has 2 for tanh and 4 for the sigmoid.
    input_range : (float, float)
        Where the inputs are, if not in [-1, 1]; weights and biases are converted.

    Raises
    ------
    OptionError
        An argument is unknown or out of range.

    Notes
    -----
    Length and biases depend on H, so adding outputs changes the ones that were there.

    References
    ----------
    Nguyen, Widrow, *Improving the learning speed of 2-layer neural networks by choosing initial values of
    the adaptive weights*, IJCNN 1990.

    Examples
    --------
    >>> weight = NguyenWidrow().init((2, 100), rng=0, dtype="float64")
    >>> np.linalg.norm(weight, axis=0)[:3].round(12)
    array([7., 7., 7.])
    """

    biases: str = "random"
    active: float = 1.0
    input_range: tuple[float, float] = (-1.0, 1.0)
    formula: ClassVar[str] = "w of a unit in a random direction, |w| = B = 0.7 H^(1/fan_in), b ~ U(-B, B)"
    assumes: ClassVar[str] = "one hidden layer of tanh or sigmoid units, few inputs, all within input_range"
    fails: ClassVar[str] = (
        "many inputs: B falls to 0.7 whatever the number of units, and stripes mean nothing; deep nets"
    )
    paper: ClassVar[str] = (
        "Nguyen, Widrow 1990, Improving the learning speed of 2-layer neural networks by choosing initial "
        "values of the adaptive weights, IJCNN"
    )
    examples: ClassVar[tuple[str, ...]] = (
        "NguyenWidrow()",
        "NguyenWidrow(biases='even', active=2.0, input_range=(0.0, 1.0))",
    )
    mode: ClassVar[str] = "fan_in"
    distribution: ClassVar[str] = "random direction"

    def __post_init__(self):
        choice("biases", self.biases, SPREADS)
        self._set(active=positive("active", self.active))
        try:
            low, high = self.input_range
        except (TypeError, ValueError):
            raise OptionError(
                f"input_range={self.input_range!r}: expected two numbers, (low, high)."
            ) from None
        low, high = (finite("input_range", x) for x in (low, high))
        if not low < high:
            raise OptionError(f"input_range={self.input_range!r}: expected low < high.")
        self._set(input_range=(low, high))

    def length(self, fan_in: int, n_outputs: int) -> float:
        """Return beta: the length of the weights of a unit, for inputs in [-1, 1] and an activity of ±1."""
        power = float(n_outputs) ** (1.0 / positive("fan_in", fan_in))
        return 0.7 * significant(power)

    def init_layer(self, spec, seed, weight, bias=None):
        check_arrays(spec, weight, bias)
        stream = as_stream(seed).child(spec.path)
        made = None if bias is None else np.zeros(bias.shape)
        if made is not None and made.size and spec.fan_in:
            directions = self._directions(stream.child("weight"), len(bias), spec.fan_in)
            self._make_bias(made, stream.child("bias"), directions)
            made = narrow(self, made, bias.dtype)
        self.fill_weight(spec, stream.child("weight"), weight)
        if bias is not None:
            bias[...] = made

    def fill(self, view, stream, fan_in, fan_out):
        if not view.size:
            return
        n_inputs, n_outputs = view.shape
        low, high = self.input_range
        scale = self.active * self.length(n_inputs, n_outputs) * 2.0 / (high - low)
        with np.errstate(over="ignore", invalid="ignore"):  # narrow() says so
            made = scale * self._directions(stream, n_outputs, n_inputs)
        view[...] = narrow(self, made, view.dtype)

    def _directions(self, stream, n_outputs: int, n_inputs: int) -> np.ndarray:
        """Return unit vectors, one for each output, as the columns of an array (n_inputs, n_outputs)."""
        vectors = np.empty((n_inputs, n_outputs))
        Normal(1.0).fill(vectors, stream)
        squares = np.zeros(n_outputs)
        for row in vectors:  # in this order on any machine
            squares += row * row
        return vectors / np.sqrt(squares)

    def _make_bias(self, bias: np.ndarray, stream, directions: np.ndarray) -> None:
        n_inputs, n_outputs = directions.shape
        if self.biases == "random":
            Uniform(-1.0, 1.0).fill(bias, stream)
        elif n_outputs > 1:
            bias[...] = (2.0 * np.arange(n_outputs) / (n_outputs - 1) - 1.0) * np.sign(directions[0])
        # the middle of the input range takes the place of 0
        low, high = self.input_range
        shift = (low + high) / (high - low)
        if shift:
            total = np.zeros(n_outputs)
            for row in directions:
                total += row
            bias -= shift * total
        with np.errstate(over="ignore", invalid="ignore"):
            bias *= self.active * self.length(n_inputs, n_outputs)

    def variance(self, fan_in, fan_out):
        """Return the variance of an element of a dense weight, (length of a unit's weights)^2 / fan_in."""
        low, high = self.input_range
        scale = self.active * self.length(fan_in, positive("fan_out", fan_out)) * 2.0 / (high - low)
        return scale * scale / fan_in

    def bias_variance(self, fan_in, fan_out):
        """Return the mean square of the biases of a dense layer."""
        low, high = self.input_range
        n = fan_out
        even = (n + 1.0) / (3.0 * (n - 1.0)) if n > 1 else 0.0
        own = 1.0 / 3.0 if self.biases == "random" else even
        # the sum of the elements of a random direction has the mean square 1
        shift = (low + high) / (high - low)
        length = self.active * self.length(fan_in, positive("fan_out", n))
        return length * length * (own + shift * shift)
