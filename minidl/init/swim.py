"""SWIM: weights from pairs of data points between which the target changes fast."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minidl import activations, losses
from minidl.errors import OptionError
from minidl.init.data import DataInitializer
from minidl.init.registry import register
from minidl.init.trial import Trial, require_rows
from minidl.kernels import random
from minidl.options import count, non_negative

__all__ = ["SWIM"]

#: activation -> (s1, s2): the pair is mapped to act(-s2) and act(s1 - s2)
CONSTANTS = {
    "relu": (1.0, 0.0),
    "leaky_relu": (1.0, 0.0),
    "prelu": (1.0, 0.0),
    "tanh": (math.log(3.0), math.log(3.0) / 2.0),  # to -1/2 and 1/2
    "sigmoid": (2.0 * math.log(3.0), math.log(3.0)),  # to 1/4 and 3/4: it is tanh of half, moved
}
TINY = 1e-10  # distances below this share of the largest one are no distances


@register("swim")
@dataclass(frozen=True, repr=False)
class SWIM(DataInitializer):
    r"""Sample where it matters: a network whose hidden weights are pairs of data points.

    For each hidden unit a pair of rows is drawn with probability proportional to
    :math:`\max_j |y_{2j} - y_{1j}| / \lVert x_2 - x_1 \rVert`, x being what goes into the layer, and

    .. math:: w = s_1 \frac{x_2 - x_1}{\lVert x_2 - x_1 \rVert^2}, \qquad b = -w \cdot x_1 - s_2

    with :math:`(s_1, s_2) = (1, 0)` for relu and :math:`(\ln 3, \tfrac12 \ln 3)` for tanh, whose ends then
    are :math:`\mp \tfrac12`. The last layer is the least-squares fit of the targets. Such a network can be
    good before any training.

    Parameters
    ----------
    max_rows : int, optional
        See :class:`DataInitializer`; the more rows, the better the fit of the last layer.
    candidates : int
        So many pairs are considered for each unit or each row, whichever are more; >= 1.
    ridge : float
        L2 penalty of the last layer, as a share of the mean variance of its inputs; finite and >= 0.

    Raises
    ------
    OptionError
        A hidden activation is none of relu, leaky_relu, prelu, tanh, sigmoid; a hidden layer has no bias; an
        output activation does not belong to the loss; or all rows are alike.
    DataError
        There are fewer than 3 rows.

    Notes
    -----
    Classes are fitted as one-hot vectors (as -1 and 1 for binary_cross_entropy), so the largest output is the
    prediction, but the outputs are no calibrated logits. The least-squares solution comes from LAPACK: its
    last bits may differ between machines.

    References
    ----------
    Bolager, Burak, Datar, Sun, Dietrich, *Sampling weights of deep neural networks*, NeurIPS 2023,
    arXiv:2306.16830.

    Examples
    --------
    >>> X = np.linspace(-1.0, 1.0, 200)[:, None]
    >>> y = np.sin(20 * X)
    >>> net = minidl.MLP([1, 100, 1], "tanh", seed=0)
    >>> report = SWIM().fit(net, X, y, loss="mse")
    >>> net.evaluate(X, y, loss="mse")["loss"] < 1e-4
    True
    """

    base: ClassVar[None] = None  # all weights come from the data
    candidates: int = 3
    ridge: float = 1e-10
    needs_targets: ClassVar[bool] = True
    formula: ClassVar[str] = "w = s1 (x2 - x1) / |x2 - x1|^2, pairs of rows; last layer by least squares"
    assumes: ClassVar[str] = "few layers of relu, leaky_relu, prelu, tanh or sigmoid; smooth targets"
    fails: ClassVar[str] = "many layers, noisy targets, inputs of many dimensions with few rows"
    paper: ClassVar[str] = (
        "Bolager, Burak, Datar, Sun, Dietrich 2023, Sampling weights of deep neural networks, "
        "arXiv:2306.16830"
    )
    examples: ClassVar[tuple[str, ...]] = ("SWIM()", "SWIM(max_rows=256, candidates=5, ridge=0.001)")

    def __post_init__(self):
        super().__post_init__()
        self._set(candidates=count("candidates", self.candidates, 1), ridge=non_negative("ridge", self.ridge))

    def treat(self, trial: Trial) -> None:
        require_rows(trial, 3, "to have pairs")
        specs = trial.specs
        loss = losses.get(trial.loss or "cross_entropy")
        _check(trial, specs, loss)
        target, change = _targets(trial, loss, specs[-1].fan_out)
        for spec, x in trial.net.walk(trial.x):
            if spec.path == specs[-1].path:
                self._output(trial, spec, x, target)
            else:
                self._hidden(trial, spec, x, change)
            trial.count(spec)

    def _hidden(self, trial: Trial, spec, x: np.ndarray, y: np.ndarray) -> None:
        n, units = len(x), spec.fan_out
        stream = trial.stream.child(spec.path)
        u = np.empty((self.candidates * max(n, units), 2))
        random.fill_uniform(u, stream.child("pairs").key, 0.0, 1.0)
        first = np.minimum((u[:, 0] * n).astype(np.int64), n - 1)
        second = (first + 1 + np.minimum((u[:, 1] * (n - 1)).astype(np.int64), n - 2)) % n
        distance = np.sqrt(((x[second] - x[first]) ** 2).sum(axis=1))
        apart = distance > TINY * distance.max()
        if not apart.any():
            raise OptionError(f"{trial.name}: layer {spec.path}: its inputs are the same for all rows.")
        rise = np.abs(y[second] - y[first]).max(axis=1)
        slope = np.where(apart, rise / np.where(apart, distance, 1.0), 0.0)
        if not slope.any():
            trial.warn(spec, "the targets do not differ where the inputs do: pairs are drawn evenly")
            slope = apart.astype(np.float64)
        v = np.empty(units)
        random.fill_uniform(v, stream.child("choice").key, 0.0, 1.0)
        cumulated = np.cumsum(slope)
        chosen = np.searchsorted(cumulated, v * cumulated[-1], side="right")
        chosen = np.minimum(chosen, np.flatnonzero(slope)[-1])  # a draw of nearly 1 may round past the end
        start, direction = x[first[chosen]], x[second[chosen]] - x[first[chosen]]
        s1, s2 = CONSTANTS[activations.get(spec.activation).name]
        rows = s1 * direction / (direction**2).sum(axis=1, keepdims=True)
        trial.weight(spec)[...] = rows.T
        trial.bias(spec)[...] = -(rows * start).sum(axis=1) - s2

    def _output(self, trial: Trial, spec, x: np.ndarray, y: np.ndarray) -> None:
        bias = trial.bias(spec)
        x_mean, y_mean = (0.0, 0.0) if bias is None else (x.mean(axis=0), y.mean(axis=0))
        x, y = x - x_mean, y - y_mean
        n_inputs = x.shape[1]
        penalty = math.sqrt(self.ridge * float((x**2).mean()) * len(x))
        left = np.vstack([x, penalty * np.eye(n_inputs)])
        right = np.vstack([y, np.zeros((n_inputs, y.shape[1]))])
        weight = np.linalg.lstsq(left, right, rcond=None)[0]
        trial.weight(spec)[...] = weight
        if bias is not None:
            bias[...] = y_mean - x_mean @ weight

    def suits(self, activation, depth=10, limit=1e3):
        """Whether the paper's construction, or one equal to it, is known for the activation."""
        from minidl.theory import Verdict

        fits = activations.get(activation).name in CONSTANTS
        return Verdict(
            fits,
            f"{activation} has constants s1, s2." if fits else f"it knows {', '.join(CONSTANTS)} only.",
        )


def _check(trial: Trial, specs, loss) -> None:
    """Refuse a network that the construction does not fit, before anything is drawn."""
    if not specs:
        raise OptionError(f"{trial.name}: the network has no weights.")
    layers = trial.net.layers
    for spec, following in zip(specs, [*specs[1:], None], strict=True):
        end = len(layers) if following is None else int(following.path)
        after = [layer.activation for layer in layers[int(spec.path) : end]]
        after = [activation for activation in after if activation.name != "identity"]
        if following is None:
            if after and [activation.name for activation in after] != [loss.link]:
                raise OptionError(
                    f"{trial.name}: layer {spec.path}: the output activation {after[0]} does not belong to "
                    f"loss={loss.name!r}: leave it out."
                )
        elif len(after) != 1 or after[0].name not in CONSTANTS:
            found = " then ".join(map(str, after)) or "identity"
            raise OptionError(
                f"{trial.name}: layer {spec.path}: its activation is {found}, expected one of "
                f"{', '.join(CONSTANTS)}."
            )
        elif trial.bias(spec) is None:
            raise OptionError(f"{trial.name}: layer {spec.path}: hidden layers need a bias.")


def _targets(trial: Trial, loss, n_outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what the last layer is fitted to, and what differs between two rows of different targets."""
    encoded = loss.encode(trial.y, n_outputs, np.float64)
    if encoded.kind == "label":
        target = (encoded.array.reshape(-1, 1) == np.arange(n_outputs)).astype(np.float64)
        return target, target
    target = np.asarray(encoded.array, np.float64).reshape(len(trial.x), n_outputs)
    return (2.0 * target - 1.0, target) if loss.link == "sigmoid" else (target, target)
