"""What each layer of a plain stack will do to signal, correlation and gradient, before anything runs."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass

from minidl import activations
from minidl.errors import OptionError, ShapeError
from minidl.options import count, non_negative, number, positive
from minidl.theory.function import Function, as_function

__all__ = ["Layer", "PredictedLayer", "Prediction", "predict"]

TOO_LARGE = 1e60  # beyond it, q is called infinite


@dataclass(frozen=True)
class Layer:
    """A dense layer as theory sees it: z = W^T x + b, then the activation.

    Parameters
    ----------
    fan_in, fan_out : int
        Numbers of inputs and outputs, >= 1.
    weight_variance : float
        Of an element of W, >= 0; the mean is 0.
    bias_variance : float
        Of an element of b, >= 0; the mean is 0.
    activation : str, Activation, callable or Function
        What z goes through.
    path : str
        Name for printing.
    input_offset : float
        What the bias takes off every input: b_j holds -input_offset * (sum of the unit's weights), as for
        inputs from a sigmoid, whose mean is 1/2. 0 for the first layer.

    Raises
    ------
    OptionError
        A number is out of range.

    Examples
    --------
    >>> Layer(784, 256, weight_variance=2 / 784, activation="relu").fan_in
    784
    """

    fan_in: int
    fan_out: int
    weight_variance: float
    bias_variance: float = 0.0
    activation: object = "identity"
    path: str = ""
    input_offset: float = 0.0

    def __post_init__(self):
        count("fan_in", self.fan_in, minimum=1)
        count("fan_out", self.fan_out, minimum=1)
        non_negative("weight_variance", self.weight_variance)
        non_negative("bias_variance", self.bias_variance)
        number("input_offset", self.input_offset, "a finite number", lambda x: True)


@dataclass(frozen=True)
class PredictedLayer:
    """One row of a :class:`Prediction`.

    Attributes
    ----------
    path : str
    q : float
        Variance of the pre-activations; inf if it exceeds 1e60.
    c : float or None
        Correlation of the pre-activations of two inputs; None if no c0 was given.
    gradient : float
        Expected squared norm of the gradient with respect to the pre-activations of this layer, relative
        to that of the last layer.

    Examples
    --------
    >>> PredictedLayer("0", q=1.0, c=None, gradient=2.0).gradient
    2.0
    """

    path: str
    q: float
    c: float | None
    gradient: float


@dataclass(frozen=True)
class Prediction:
    """The rows of all layers; prints as a table.

    Attributes
    ----------
    layers : tuple of PredictedLayer

    Examples
    --------
    >>> print(Prediction((PredictedLayer("0", 1.0, 0.5, 2.0), PredictedLayer("1", 1.0, 0.7, 1.0))))
    layer  q  c    gradient^2
    0      1  0.5  2
    1      1  0.7  1
    """

    layers: tuple[PredictedLayer, ...]

    @property
    def q(self) -> tuple[float, ...]:
        """Variance of the pre-activations, layer by layer."""
        return tuple(layer.q for layer in self.layers)

    @property
    def c(self) -> tuple[float | None, ...]:
        """Correlation, layer by layer."""
        return tuple(layer.c for layer in self.layers)

    @property
    def gradient(self) -> tuple[float, ...]:
        """Squared gradient norm relative to the last layer, layer by layer."""
        return tuple(layer.gradient for layer in self.layers)

    def __str__(self) -> str:
        rows = [("layer", "q", "c", "gradient^2")]
        for layer in self.layers:
            c = "-" if layer.c is None else f"{layer.c:.4g}"
            rows.append((layer.path, f"{layer.q:.4g}", c, f"{layer.gradient:.4g}"))
        widths = [max(len(row[k]) for row in rows) for k in range(4)]
        return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def predict(net: object, q0: float = 1.0, c0: float | None = None) -> Prediction:
    r"""Predict signal and gradient of a network at initialization, layer by layer.

    With independent weights and biases of mean 0, in expectation over them and for wide layers,

    .. math:: q_1 = n_0 V_1 q_0 + B_1, \qquad
              q_{l+1} = n_l V_{l+1} E\varphi_l(\sqrt{q_l} z)^2 + B_{l+1},

    and with the squared gradient norm :math:`g_l` of layer l,

    .. math:: g_l = n_l V_{l+1} E\varphi_l'(\sqrt{q_l} z)^2\, g_{l+1}, \qquad g_L = 1,

    where V and B are the variances of weight and bias and n the widths. Where the bias takes an offset m off
    the inputs, :math:`\varphi - m` stands for :math:`\varphi`.

    Parameters
    ----------
    net : network or iterable of Layer
        A network answers ``init_plan()``; it is not touched.
    q0 : float
        Second moment of the inputs: the mean of x^2 over the features. > 0.
    c0 : float, optional
        Cosine of the angle between two inputs of that size, for predicting correlations.

    Returns
    -------
    Prediction

    Raises
    ------
    OptionError
        An initializer has no variance in closed form, a layer is no plain dense layer, or a number is out
        of range.
    ShapeError
        The layers do not fit each other.

    Examples
    --------
    >>> stack = [Layer(100, 100, 2 / 100, activation="relu") for _ in range(3)]
    >>> print(predict(stack, c0=0.0))
    layer  q  c       gradient^2
    0      2  0       1
    1      2  0.3183  1
    2      2  0.4937  1
    """
    layers = _layers(net)
    q0 = positive("q0", q0)
    if c0 is not None:
        c0 = number("c0", c0, "a cosine from -1 to 1", lambda x: -1.0 <= x <= 1.0)
    second, pair = q0, None if c0 is None else q0 * c0  # E y^2 and E y y' of what enters a layer
    variances, correlations, slopes = [], [], []
    for k, layer in enumerate(layers):
        scale = layer.fan_in * layer.weight_variance
        q = (scale * second if scale else 0.0) + layer.bias_variance
        if q > TOO_LARGE:
            q = math.inf
        c = None
        if pair is not None and 0.0 < q < math.inf:
            c = min(1.0, max(-1.0, (scale * pair + layer.bias_variance) / q))
        variances.append(q)
        correlations.append(c)
        if k == len(layers) - 1:
            break
        if q == math.inf:
            second = slope = math.inf
            pair = None if pair is None else math.inf
        else:
            function = as_function(layer.activation)
            moments = function.moments(q)
            second, slope = moments.second, moments.slope
            if pair is not None:
                pair = second if c is None else function.pair(c, q)
            m = layers[k + 1].input_offset
            taken = m * (
                m - 2.0 * moments.mean
            )  # E(y - m)^2 = E y^2 - 2 m E y + m^2, and E(y - m)(y' - m) too
            second, pair = max(0.0, second + taken), None if pair is None else pair + taken
        slopes.append(slope)

    gradients = [1.0]
    for layer, slope in zip(reversed(layers[1:]), reversed(slopes), strict=True):
        scale = layer.fan_in * layer.weight_variance
        # a weight of 0 stops the gradient, whatever comes out of the layers around it
        gradients.append(scale * slope * gradients[-1] if scale and gradients[-1] else 0.0)
    rows = zip(layers, variances, correlations, reversed(gradients), strict=True)
    return Prediction(
        tuple(PredictedLayer(layer.path or str(k), q, c, g) for k, (layer, q, c, g) in enumerate(rows))
    )


def _layers(net: object) -> list[Layer]:
    """Return the layers of a network or of a list, checked."""
    if hasattr(net, "init_plan"):
        layers = [_of_plan(entry) for entry in net.init_plan().layers]
    elif isinstance(net, Iterable):
        layers = list(net)
    else:
        raise OptionError(f"net={net!r}: expected a network or a list of minidl.theory.Layer.")
    if not layers:
        raise OptionError("net: has no layers with weights.")
    for k, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise OptionError(f"net[{k}]={layer!r}: expected a minidl.theory.Layer.")
        if k and layer.fan_in != layers[k - 1].fan_out:
            raise ShapeError(
                f"net[{k}]: has fan_in={layer.fan_in}, but the layer before it has "
                f"fan_out={layers[k - 1].fan_out}."
            )
    if layers[0].input_offset:
        raise OptionError(
            f"net[0]: input_offset={layers[0].input_offset!r}, but the data are taken as they are."
        )
    return layers


def _of_plan(entry) -> Layer:
    """Return the layer that an entry of an initialization plan describes."""
    spec, initializer = entry.spec, entry.initializer
    if entry.variance is None:
        raise OptionError(
            f"layer {spec.path!r}: the variance of {initializer!r} has no closed form; predict a list of "
            "minidl.theory.Layer with a variance that you measured."
        )
    if spec.residual_branches or spec.norm is not None:
        raise OptionError(f"layer {spec.path!r}: theory predicts plain stacks, without skips and norms.")
    bias_variance = getattr(initializer, "bias_variance", None)
    bias = 0.0 if bias_variance is None else bias_variance(spec.fan_in, spec.fan_out)
    offset = getattr(initializer, "input_offset", None)
    offset = 0.0 if offset is None else offset(spec)
    # Units in pairs z, -z with opposite weights are half as many units of the activation act(z) - act(-z).
    inputs, outputs = getattr(initializer, "mirrored", (False, False))
    activation = mirrored_function(spec.activation) if outputs else spec.activation
    fan_in, fan_out = spec.fan_in // (1 + inputs), spec.fan_out // (1 + outputs)
    return Layer(fan_in, fan_out, entry.variance, bias, activation, spec.path, offset)


@functools.lru_cache(maxsize=64)
def mirrored_function(activation: str) -> Function:
    """Return act(z) - act(-z), what a pair of units z and -z gives with opposite outgoing weights."""
    act = activations.get(activation)
    return Function(
        lambda z: activations.forward(act, z) - activations.forward(act, -z),
        lambda z: activations.derivative(act, z) + activations.derivative(act, -z),
        sorted({*act.kinks, *(-kink for kink in act.kinks)} - {0.0}),
        f"mirrored {act}",
    )
