"""Biases that take the mean off the inputs, for activations whose outputs have one: sigmoid, softplus."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minidl.errors import OptionError
from minidl.init.base import WIDE, Initializer
from minidl.init.checks import check_arrays, narrow
from minidl.init.layouts import DENSE
from minidl.init.registry import get, register
from minidl.init.spec import LayerSpec
from minidl.init.variance_scaling import LeCun
from minidl.init.weight_of import WeightOf
from minidl.options import non_negative, significant

__all__ = ["Centered", "fill_centered", "input_mean"]

LECUN = LeCun()


@register("centered")
@dataclass(frozen=True, repr=False)
class Centered(WeightOf):
    r"""Another initializer, with biases that take the mean off the inputs of the layer.

    .. math:: b_j = b^{\mathrm{base}}_j - m \sum_i W_{ij}, \qquad m = E\varphi(\sqrt q\, z),
              \quad z \sim N(0, 1)

    where :math:`\varphi` is the activation that the inputs went through. So

    .. math:: z_j = \sum_i W_{ij} (\varphi_i - m) + b^{\mathrm{base}}_j,

    and the layer sees the variance of its inputs instead of their second moment. A sigmoid network
    becomes a tanh network in this way, since sigmoid(z) - 1/2 = tanh(z/2) / 2; without it, the mean 1/2
    makes all inputs look alike to the second layer. The data are taken as they are: m = 0 for the
    first layer.

    Parameters
    ----------
    base : Initializer, str, ndarray or callable
        Fills the weight and the bias first.
    q : float
        Variance of the pre-activations of the layer before, >= 0. It does not matter for sigmoid and
        hard_sigmoid, whose mean is 1/2 for every q.

    Raises
    ------
    OptionError
        q is negative; the layer has no bias.

    Notes
    -----
    The sums are made in float64, one input after the other, so the bits do not depend on the machine.

    References
    ----------
    LeCun, Bottou, Orr, Müller, *Efficient BackProp*, 1998 (on inputs of mean 0); Montavon, Müller,
    *Deep Boltzmann machines and the centering trick*, 2012.

    Examples
    --------
    >>> spec = LayerSpec("1", (3, 2), activation="sigmoid", input_activation="sigmoid")
    >>> weight, bias = np.empty((3, 2)), np.empty(2)
    >>> Centered("lecun_normal").init_layer(spec, 0, weight, bias)
    >>> bool(np.allclose(0.5 * weight.sum(axis=0) + bias, 0.0))
    True
    """

    base: Initializer = LECUN
    q: float = 1.0
    formula: ClassVar[str] = "by the base, then b = b - E[act_before(sqrt(q) z)] * (sum of incoming weights)"
    assumes: ClassVar[str] = "pre-activations of variance q in the layer before"
    fails: ClassVar[str] = "inputs that are 0 for another reason, such as padding or dropout"
    paper: ClassVar[str] = (
        "LeCun, Bottou, Orr, Müller 1998, Efficient BackProp; Montavon, Müller 2012, Deep Boltzmann machines "
        "and the centering trick"
    )
    examples: ClassVar[tuple[str, ...]] = ("Centered()", "Centered(Xavier(gain=4.0), q=2.0)")

    def __post_init__(self):
        self._set(base=get(self.base), q=non_negative("q", self.q))

    @property
    def weight(self) -> Initializer:
        """What fills the weight: the base."""
        return self.base

    def input_offset(self, spec: LayerSpec) -> float:
        """Return what the bias takes off every input of this layer."""
        return input_mean(spec, self.q)

    def resolve(self, spec):
        chosen, reason = self.base.resolve(spec)
        return (self, reason) if chosen is self.base else (Centered(chosen, self.q), reason)

    def check_network(self, specs):
        super().check_network(specs)
        for spec in specs:
            self.input_offset(spec)

    def init_layer(self, spec, seed, weight, bias=None):
        fill_centered(self.base, spec, seed, weight, bias, self.input_offset(spec))

    def bias_variance(self, fan_in, fan_out):
        """Return the variance of the part of the bias that comes from the base."""
        return self.base.bias_variance(fan_in, fan_out)

    def suits(self, activation, depth=10, limit=1e3):
        """Judge wide hidden layers of an activation whose mean is taken off."""
        from minidl.theory import verdict

        sigma_w2 = WIDE * self.variance(WIDE, WIDE)
        sigma_b2 = self.bias_variance(WIDE, WIDE)
        return verdict(centered_function(activation, self.q), sigma_w2, sigma_b2, depth, limit)


def centered_function(activation: str, q: float):
    """Return phi - E phi(sqrt(q) z) as theory sees it.

    Examples
    --------
    >>> centered_function("sigmoid", 1.0).at_zero
    0.0
    """
    from minidl.theory.function import Function, as_function

    function, m = as_function(activation), mean(activation, q)
    return Function(
        lambda x: function.value(x) - m, function.slope, function.kinks, f"centered {function.label}"
    )


def mean(activation: str, q: float) -> float:
    """Return E phi(sqrt(q) z), rounded to 10 digits because it decides biases.

    Examples
    --------
    >>> mean("sigmoid", 3.0), mean("relu", 1.0)
    (0.5, 0.3989422804)
    """
    from minidl.theory.function import as_function

    return significant(as_function(activation).moments(q).mean)


def input_mean(spec: LayerSpec, q: float) -> float:
    """Return the mean of the inputs of a layer whose own inputs had pre-activations of variance q.

    Examples
    --------
    >>> input_mean(LayerSpec("1", (3, 2), input_activation="hard_sigmoid"), 1.0)
    0.5
    """
    try:
        return mean(spec.input_activation, q)
    except OptionError as error:
        raise OptionError(f"layer {spec.path!r}: {error}") from None


def fill_centered(
    base: Initializer, spec: LayerSpec, seed, weight: np.ndarray, bias: np.ndarray | None, offset: float
) -> None:
    """Fill a layer by a base, then take `offset` times the sum of its incoming weights off each bias.

    Examples
    --------
    >>> from minidl.init import Ones
    >>> weight, bias = np.empty((3, 2)), np.empty(2)
    >>> fill_centered(Ones(), LayerSpec("0", (3, 2)), 0, weight, bias, 0.5)
    >>> bias
    array([-1.5, -1.5])
    """
    if offset == 0.0:
        base.init_layer(spec, seed, weight, bias)
        return
    check_arrays(spec, weight, bias)
    if bias is None:
        raise OptionError(
            f"layer {spec.path!r}: a centered initializer takes the mean of its inputs off in the bias, and "
            "this layer has none. Give it a bias."
        )
    # in float64 whatever the dtype: the result is rounded once
    like = _outputs_first(spec)
    kernel, made = np.empty(like.shape), np.empty(bias.shape)
    base.init_layer(like, seed, kernel, made)
    total = np.zeros(len(made))
    for incoming in kernel.reshape(len(made), spec.fan_in).T:
        total += incoming
    who = f"layer {spec.path!r}: {base!r}, centered"
    kernel, made = narrow(who, kernel, weight.dtype), narrow(who, made - offset * total, bias.dtype)
    if spec.is_dense:
        spec.in_out(weight)[...] = kernel.T
    else:
        spec.axes.store(kernel, weight)
    bias[...] = made


def _outputs_first(spec: LayerSpec) -> LayerSpec:
    """Return the same layer with a weight of shape (outputs, inputs of a group, *window)."""
    window = "".join(axis for axis in spec.axes.axes if axis not in "io")
    layout = "out_in" if spec.layout in DENSE else "oi" + window
    return dataclasses.replace(spec, shape=spec.kernel_shape, layout=layout, transposed=False)
