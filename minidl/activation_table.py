"""The table of activations: formulas and derivatives in NumPy float64, parameters, facts and papers.

Definitions and constants are those of PyTorch. At a kink the derivative takes PyTorch's value too, for
example relu'(0) = 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .errors import OptionError
from .options import number

INF = math.inf


@dataclass(frozen=True)
class Parameter:
    """A number that an activation takes: its name, its default and the least value allowed.

    Values go up to 1e30, so that they and their reciprocals are also float32 numbers.
    """

    name: str
    default: float
    least: float

    def check(self, value: object) -> float:
        """Return the value as a float, or raise OptionError."""
        expected = f"a number from {self.least:g} to 1e+30"
        return number(self.name, value, expected, lambda x: self.least <= x <= 1e30)


@dataclass(frozen=True)
class Definition:
    """What the table knows of an activation. Facts that depend on parameters are functions of them."""

    formula: str
    saves: str
    value: Callable
    slope: Callable
    output_range: tuple[float, float] | Callable = (-INF, INF)
    monotone: bool = True
    kinks: tuple[float, ...] | Callable = ()
    parameters: tuple[Parameter, ...] = ()
    aliases: tuple[str, ...] = ()
    paper: str = ""


# --- the formulas ---------------------------------------------------------------------------------


def _sigmoid(z):
    e = np.exp(-np.abs(z))
    return np.where(z < 0, e, 1.0) / (1.0 + e)


_erfc = np.frompyfunc(math.erfc, 1, 1)
FEW = 4096


def _normal(z):
    if z.size <= FEW:  # to load SciPy takes 0.2 s, which is not worth it for the quadrature of a moment
        return np.asarray(0.5 * _erfc(-z * math.sqrt(0.5)), np.float64)
    from scipy.special import ndtr

    return ndtr(z)


def _normal_density(z):
    return np.exp(-0.5 * z**2) / math.sqrt(2.0 * math.pi)


def _softplus(z):
    return np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z)))


def _between(z, low, high):
    """1 strictly between the kinks, else 0."""
    return np.where((z > low) & (z < high), 1.0, 0.0)


def _elu(z, alpha):
    return np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0.0)))


def _elu_slope(z, alpha):
    return np.where(z > 0, 1.0, alpha * np.exp(np.minimum(z, 0.0)))


SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
LECUN_A, LECUN_B = 1.7159, 2.0 / 3.0
GELU_TANH_SCALE, GELU_TANH_CUBIC = math.sqrt(2.0 / math.pi), 0.044715


def _gelu_tanh_gate(z):
    """(1 + tanh u) / 2 = sigmoid(2 u); beyond |z| = 32 it is 0 or 1, and z^3 must not overflow."""
    z = np.clip(z, -32.0, 32.0)
    return _sigmoid(2.0 * GELU_TANH_SCALE * (z + GELU_TANH_CUBIC * z**3))


def _gelu_tanh_slope(z):
    z = np.clip(z, -32.0, 32.0)
    gate = _gelu_tanh_gate(z)
    inner = 2.0 * GELU_TANH_SCALE * (1.0 + 3.0 * GELU_TANH_CUBIC * z**2)
    return gate + z * gate * _gelu_tanh_gate(-z) * inner


def _mish_slope(z):
    u = _softplus(z)
    return np.tanh(u) + z * _sigmoid(z) / np.cosh(u) ** 2


def _hard_swish_slope(z):
    return np.where(z <= -3, 0.0, np.where(z >= 3, 1.0, z / 3.0 + 0.5))


def _softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _no_slope(z):
    raise OptionError("softmax is an output function of whole rows: it has no element-wise derivative.")


# --- the table ------------------------------------------------------------------------------------

ALPHA = Parameter("alpha", 1.0, least=0.0)

TABLE: dict[str, Definition] = {
    "identity": Definition(
        "x",
        "output",
        lambda z: z.copy(),
        np.ones_like,
        aliases=("linear",),
    ),
    "relu": Definition(
        "max(x, 0)",
        "output",
        lambda z: np.maximum(z, 0.0),
        lambda z: np.where(z > 0, 1.0, 0.0),
        (0.0, INF),
        kinks=(0.0,),
        paper="Nair and Hinton, ICML 2010",
    ),
    "leaky_relu": Definition(
        "x if x > 0 else negative_slope x",
        "output",
        lambda z, slope: np.where(z > 0, z, slope * z),
        lambda z, slope: np.where(z > 0, 1.0, slope),
        lambda slope: (-INF if slope > 0 else 0.0, INF),
        kinks=lambda slope: () if slope == 1 else (0.0,),
        parameters=(Parameter("negative_slope", 0.01, least=0.0),),
        paper="Maas, Hannun and Ng, ICML 2013",
    ),
    "relu6": Definition(
        "min(max(x, 0), 6)",
        "output",
        lambda z: np.clip(z, 0.0, 6.0),
        lambda z: _between(z, 0.0, 6.0),
        (0.0, 6.0),
        kinks=(0.0, 6.0),
        paper="Krizhevsky, Convolutional deep belief networks on CIFAR-10, 2010",
    ),
    "relu_squared": Definition(
        "max(x, 0)^2",
        "derivative",
        lambda z: np.maximum(z, 0.0) ** 2,
        lambda z: 2.0 * np.maximum(z, 0.0),
        (0.0, INF),
        aliases=("squared_relu",),
        paper="So et al., Primer, NeurIPS 2021, arXiv:2109.08668",
    ),
    "elu": Definition(
        "x if x > 0 else alpha (e^x - 1)",
        "output",
        _elu,
        _elu_slope,
        lambda alpha: (-alpha, INF),
        kinks=lambda alpha: () if alpha == 1 else (0.0,),
        parameters=(ALPHA,),
        paper="Clevert, Unterthiner and Hochreiter, ICLR 2016, arXiv:1511.07289",
    ),
    "selu": Definition(
        "1.0507 (x if x > 0 else 1.6733 (e^x - 1))",
        "output",
        lambda z: SELU_SCALE * _elu(z, SELU_ALPHA),
        lambda z: SELU_SCALE * _elu_slope(z, SELU_ALPHA),
        (-SELU_SCALE * SELU_ALPHA, INF),
        kinks=(0.0,),
        paper="Klambauer et al., NeurIPS 2017, arXiv:1706.02515",
    ),
    "celu": Definition(
        "x if x > 0 else alpha (e^(x / alpha) - 1)",
        "output",
        lambda z, alpha: alpha * _elu(z / alpha, 1.0),
        lambda z, alpha: _elu_slope(z / alpha, 1.0),
        lambda alpha: (-alpha, INF),
        parameters=(Parameter("alpha", 1.0, least=1e-30),),
        paper="Barron, arXiv:1704.07483, 2017",
    ),
    "gelu": Definition(
        "x Phi(x), Phi the normal distribution function",
        "derivative",
        lambda z: z * _normal(z),
        lambda z: _normal(z) + z * _normal_density(z),
        (-0.16997120747990369, INF),
        monotone=False,
        paper="Hendrycks and Gimpel, arXiv:1606.08415, 2016",
    ),
    "gelu_tanh": Definition(
        "x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2",
        "derivative",
        lambda z: z * _gelu_tanh_gate(z),
        _gelu_tanh_slope,
        (-0.17004075057125412, INF),
        monotone=False,
        paper="Hendrycks and Gimpel, arXiv:1606.08415, 2016",
    ),
    "silu": Definition(
        "x sigmoid(x)",
        "derivative",
        lambda z: z * _sigmoid(z),
        lambda z: _sigmoid(z) * (1.0 + z * _sigmoid(-z)),
        (-0.27846454276107380, INF),
        monotone=False,
        aliases=("swish",),
        paper="Elfwing, Uchibe and Doya, Neural Networks 107, 2018, arXiv:1702.03118",
    ),
    "mish": Definition(
        "x tanh(softplus(x))",
        "derivative",
        lambda z: z * np.tanh(_softplus(z)),
        _mish_slope,
        (-0.30884341301725038, INF),
        monotone=False,
        paper="Misra, BMVC 2020, arXiv:1908.08681",
    ),
    "softplus": Definition(
        "log(1 + e^x)",
        "output",
        _softplus,
        _sigmoid,
        (0.0, INF),
        paper="Dugas et al., NIPS 2000",
    ),
    "softsign": Definition(
        "x / (1 + |x|)",
        "output",
        lambda z: z / (1.0 + np.abs(z)),
        lambda z: 1.0 / (1.0 + np.abs(z)) ** 2,
        (-1.0, 1.0),
        paper="Bergstra et al., technical report 1337, Universite de Montreal, 2009",
    ),
    "sigmoid": Definition(
        "1 / (1 + e^-x)",
        "output",
        _sigmoid,
        lambda z: _sigmoid(z) * _sigmoid(-z),
        (0.0, 1.0),
        aliases=("logistic",),
        paper="Rumelhart, Hinton and Williams, Nature 323, 1986",
    ),
    "log_sigmoid": Definition(
        "log(1 / (1 + e^-x))",
        "output",
        lambda z: -_softplus(-z),
        lambda z: _sigmoid(-z),
        (-INF, 0.0),
        aliases=("logsigmoid",),
    ),
    "tanh": Definition(
        "tanh(x)",
        "output",
        np.tanh,
        lambda z: 4.0 * _sigmoid(2.0 * z) * _sigmoid(-2.0 * z),
        (-1.0, 1.0),
    ),
    "lecun_tanh": Definition(
        "1.7159 tanh(2 x / 3)",
        "output",
        lambda z: LECUN_A * np.tanh(LECUN_B * z),
        lambda z: 4.0 * LECUN_A * LECUN_B * _sigmoid(2.0 * LECUN_B * z) * _sigmoid(-2.0 * LECUN_B * z),
        (-LECUN_A, LECUN_A),
        paper="LeCun, Bottou, Orr and Mueller, Efficient BackProp, 1998",
    ),
    "hard_tanh": Definition(
        "min(max(x, -1), 1)",
        "output",
        lambda z: np.clip(z, -1.0, 1.0),
        lambda z: _between(z, -1.0, 1.0),
        (-1.0, 1.0),
        kinks=(-1.0, 1.0),
        aliases=("hardtanh",),
        paper="Collobert, These, Universite de Paris VI, 2004",
    ),
    "hard_sigmoid": Definition(
        "min(max(x + 3, 0), 6) / 6",
        "output",
        lambda z: np.clip(z + 3.0, 0.0, 6.0) / 6.0,
        lambda z: _between(z, -3.0, 3.0) / 6.0,
        (0.0, 1.0),
        kinks=(-3.0, 3.0),
        aliases=("hardsigmoid",),
        paper="Howard et al., MobileNetV3, ICCV 2019, arXiv:1905.02244",
    ),
    "hard_swish": Definition(
        "x min(max(x + 3, 0), 6) / 6",
        "derivative",
        lambda z: z * np.clip(z + 3.0, 0.0, 6.0) / 6.0,
        _hard_swish_slope,
        (-0.375, INF),
        monotone=False,
        kinks=(-3.0, 3.0),
        aliases=("hardswish",),
        paper="Howard et al., MobileNetV3, ICCV 2019, arXiv:1905.02244",
    ),
    "arctan": Definition(
        "arctan(x)",
        "derivative",
        np.arctan,
        lambda z: 1.0 / (1.0 + z**2),
        (-math.pi / 2, math.pi / 2),
        aliases=("atan",),
    ),
    "sine": Definition(
        "sin(w0 x)",
        "derivative",
        lambda z, w0: np.sin(w0 * z),
        lambda z, w0: w0 * np.cos(w0 * z),
        (-1.0, 1.0),
        monotone=False,
        parameters=(Parameter("w0", 1.0, least=1e-30),),
        aliases=("sin",),
        paper="Sitzmann et al., SIREN, NeurIPS 2020, arXiv:2006.09661",
    ),
    "softmax": Definition(
        "e^x_j / sum_k e^x_k over each row",
        "output",
        _softmax,
        _no_slope,
        (0.0, 1.0),
        monotone=False,
        paper="Bridle, Neurocomputing, NATO ASI F68, 1990",
    ),
}

#: Functions of whole rows, for the last layer only.
OUTPUT_FUNCTIONS = ("softmax",)

ALIASES = {alias: name for name, entry in TABLE.items() for alias in entry.aliases}
