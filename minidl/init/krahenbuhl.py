"""Krähenbühl et al.: units of unit variance within each layer, equal rates of change between layers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minidl import activations
from minidl.errors import OptionError
from minidl.init.base import Initializer
from minidl.init.data import DataInitializer
from minidl.init.distributions import Normal
from minidl.init.registry import register
from minidl.init.statistics import constant_columns, rms
from minidl.init.trial import Trial
from minidl.init.units import standardize
from minidl.kernels import matmul, random
from minidl.options import choice, count, finite, positive, significant

__all__ = ["KrahenbuhlBetween", "KrahenbuhlWithin"]

_PAPER = (
    "Krähenbühl, Doersch, Donahue, Darrell 2016, Data-dependent initializations of convolutional neural "
    "networks, arXiv:1511.06856"
)
NORMAL = Normal(1.0)


@register("krahenbuhl_within")
@dataclass(frozen=True, repr=False)
class KrahenbuhlWithin(DataInitializer):
    r"""Within-layer initialization: each unit gets mean `bias` and standard deviation 1 over a batch.

    From the first layer to the last, with :math:`\mu_k` and :math:`\sigma_k` of unit k,

    .. math:: w_k \leftarrow w_k / \sigma_k, \qquad b_k = \beta - \mu_k / \sigma_k

    Parameters
    ----------
    base : Initializer, str, ndarray or callable, optional
        Draws the directions of the weights; None takes those that the network has.
    max_rows : int, optional
        See :class:`DataInitializer`.
    directions : {"base", "pca"}
        "pca" puts the units of a layer on the principal directions of its inputs, the strongest first, so
        that their outputs are uncorrelated. Units beyond the rank of the inputs keep their random ones.
    bias : float
        :math:`\beta`, the mean of the pre-activations; slightly positive for relu.

    Raises
    ------
    OptionError
        A value is outside its range.
    DataError
        There is one row only.

    Notes
    -----
    Principal directions come from LAPACK: their last bits may differ between machines.

    References
    ----------
    Krähenbühl, Doersch, Donahue, Darrell, *Data-dependent initializations of convolutional neural networks*,
    ICLR 2016, arXiv:1511.06856.

    Examples
    --------
    >>> net = minidl.MLP([20, 32, 32, 2], "relu", seed=0)
    >>> X = np.random.default_rng(0).normal(size=(256, 20))
    >>> report = KrahenbuhlWithin(bias=0.1).fit(net, X)
    >>> z = net.preactivations(X)["1"]
    >>> z.mean(axis=0).round(3)[:3], z.std(axis=0).round(3)[:3]
    (array([0.1, 0.1, 0.1], dtype=float32), array([1., 1., 1.], dtype=float32))
    """

    base: Initializer | None = NORMAL
    directions: str = "base"
    bias: float = 0.0
    formula: ClassVar[str] = "w_k / Std[w_k x], b_k = bias - mean, unit by unit, from a batch"
    assumes: ClassVar[str] = "a batch that stands for the data; any activation"
    fails: ClassVar[str] = "units that do not vary, rare features, small batches"
    paper: ClassVar[str] = _PAPER
    examples: ClassVar[tuple[str, ...]] = (
        "KrahenbuhlWithin()",
        "KrahenbuhlWithin(base=LeCun(), max_rows=256, directions='pca', bias=0.1)",
    )

    def __post_init__(self):
        super().__post_init__()
        choice("directions", self.directions, ("base", "pca"))
        self._set(bias=finite("bias", self.bias))

    def treat(self, trial: Trial) -> None:
        for spec, x in trial.net.walk(trial.x):
            if self.directions == "pca":
                _principal(trial, spec, x)
            standardize(trial, spec, x, mean=self.bias)


def _principal(trial: Trial, spec, x: np.ndarray) -> None:
    """Write the principal directions of the rows of x into the weight, as many as there are."""
    centered = np.where(constant_columns(x), 0.0, x - x.mean(axis=0))
    values, vectors = np.linalg.eigh(matmul(centered, centered, transpose_a=True))
    values, vectors = values[::-1], vectors[:, ::-1]
    enough = values > values[0] * max(x.shape) * np.finfo(np.float64).eps
    n = min(int(enough.sum()), spec.fan_out)
    # an eigenvector has no sign of its own: its largest element shall be positive
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.copysign(1.0, vectors[largest, np.arange(len(vectors))])
    trial.weight(spec)[:, :n] = vectors[:, :n]
    if n < spec.fan_out:
        trial.note(spec, f"the inputs have rank {n}: {spec.fan_out - n} random directions")


@register("krahenbuhl_between")
@dataclass(frozen=True, repr=False)
class KrahenbuhlBetween(DataInitializer):
    r"""Between-layer initialization: one step of gradient descent changes all layers at the same rate.

    With random gradients at the outputs, the relative rate of change of layer k is

    .. math:: C_k = \sqrt{\mathrm{mean}(\nabla W_k^2) / \mathrm{mean}(W_k^2)}

    and W is multiplied by :math:`\sqrt{C_k / \bar C}`, with :math:`\bar C` the geometric mean, biases by the
    product of the factors up to their layer. The factors multiply to 1 and all activations between are
    positively homogeneous, so the outputs of the network stay as they are.

    Parameters
    ----------
    base : Initializer, str, ndarray or callable, optional
        Draws the weights first. None takes those that the network has ("auto" when it is built);
        ``Then("normal", KrahenbuhlWithin(), KrahenbuhlBetween())`` is the method of the paper.
    max_rows : int, optional
        See :class:`DataInitializer`.
    tol : float
        Allowed relative difference of the rates from their mean, > 0.
    max_iter : int
        Most rounds, >= 1. The first one is exact but for rounding.

    Raises
    ------
    OptionError
        An activation between two layers is not positively homogeneous (identity, relu, leaky_relu, prelu
        are), or a rate is 0.

    References
    ----------
    Krähenbühl, Doersch, Donahue, Darrell, *Data-dependent initializations of convolutional neural networks*,
    ICLR 2016, arXiv:1511.06856.

    Examples
    --------
    >>> net = minidl.MLP([20, 32, 32, 2], "relu", seed=0, dtype="float64")
    >>> net.params["1.weight"] *= 10
    >>> X = np.random.default_rng(0).normal(size=(256, 20))
    >>> before = net.predict(X)
    >>> report = KrahenbuhlBetween().fit(net, X)
    >>> bool(np.allclose(net.predict(X), before)), round(report.layers[1].gain, 1)
    (True, 0.2)
    """

    tol: float = 0.01
    max_iter: int = 10
    formula: ClassVar[str] = "W_k sqrt(C_k / geometric mean of all C), C = rms(dW) / rms(W), from a batch"
    assumes: ClassVar[str] = "positively homogeneous activations: identity, relu, leaky_relu, prelu"
    fails: ClassVar[str] = "other activations, which it refuses; dead layers, whose gradient is 0"
    paper: ClassVar[str] = _PAPER
    examples: ClassVar[tuple[str, ...]] = (
        "KrahenbuhlBetween()",
        "KrahenbuhlBetween(base=He(), max_rows=256, tol=0.1, max_iter=3)",
    )

    def __post_init__(self):
        super().__post_init__()
        self._set(tol=positive("tol", self.tol), max_iter=count("max_iter", self.max_iter, 1))

    def treat(self, trial: Trial) -> None:
        specs = trial.specs
        _require_homogeneous(trial, specs)
        for _ in range(self.max_iter):
            relative = _relative_rates(trial, specs)
            if np.abs(relative - 1.0).max() <= self.tol:
                return
            factors = np.sqrt(relative)
            factors[-1] = 1.0 / math.prod(factors[:-1])  # they multiply to 1 in spite of all rounding
            for spec, factor, below in zip(specs, factors, np.cumprod(factors), strict=True):
                trial.weight(spec)[...] *= factor
                if trial.bias(spec) is not None:
                    trial.bias(spec)[...] *= below
                trial.count(spec)
        off = float(np.abs(_relative_rates(trial, specs) - 1.0).max())
        if off > self.tol:
            trial.converged = False
            trial.warn(specs[0], f"the rates still differ by {off:.1%} after {self.max_iter} rounds")

    def suits(self, activation, depth=10, limit=1e3):
        """Whether the activation is positively homogeneous."""
        from minidl.theory import Verdict

        fits = is_homogeneous(activations.get(activation))
        word = "is" if fits else "is not"
        return Verdict(fits, f"{activation} {word} positively homogeneous, which the scheme needs.")


def is_homogeneous(activation) -> bool:
    """Return whether act(c z) = c act(z) for c > 0.

    Examples
    --------
    >>> is_homogeneous(activations.get("leaky_relu")), is_homogeneous(activations.get("tanh"))
    (True, False)
    """
    z = np.array([[-3.0, -1.0, -0.1, 0.1, 1.0, 3.0]])
    once, scaled = activations.forward(activation, z), activations.forward(activation, 4.0 * z)
    return bool(np.array_equal(scaled, 4.0 * once))


def _require_homogeneous(trial: Trial, specs) -> None:
    if not specs:
        raise OptionError(f"{trial.name}: the network has no weights.")
    between = range(int(specs[0].path), int(specs[-1].path))
    for path in between:
        activation = trial.net.layers[path].activation
        if not is_homogeneous(activation):
            raise OptionError(
                f"{trial.name}: layer {path}: {activation} is not positively homogeneous, so layers cannot "
                "be scaled without changing the outputs. Use LSUV or KrahenbuhlWithin."
            )


def _relative_rates(trial: Trial, specs) -> np.ndarray:
    """Return the rates of change for random gradients at the outputs, over their geometric mean.

    The gradient of the mean squared error is output - target, times a constant: a target that is the output
    less a random number gives random gradients, and asks for no labels.
    """
    output = trial.net.predict(trial.x)
    noise = np.empty_like(output)
    random.fill_normal(noise, trial.stream.child("gradients").key, 0.0, 1.0)
    trial.net.gradients(trial.x, output - noise, loss="mse")
    rates = np.array([_rate(trial, spec) for spec in specs])
    return rates / significant(math.exp(np.log(rates).mean()))


def _rate(trial: Trial, spec) -> float:
    gradient, weight = rms(trial.net.grads[f"{spec.path}.weight"]), rms(trial.weight(spec))
    if not (gradient > 0.0 and weight > 0.0 and math.isfinite(gradient)):
        raise OptionError(
            f"{trial.name}: layer {spec.path}: the weight or its gradient is 0 or not finite, so it has no "
            "rate of change to equalize. Start from another base, or use LSUV first."
        )
    return gradient / weight
