"""MetaInit: norms of the weights for which the loss looks straight along its gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minidl import activations, losses, optim
from minidl.errors import OptionError
from minidl.init.curvature import Curvature
from minidl.init.data import DataInitializer
from minidl.init.registry import register
from minidl.init.scales import SCALES, Scales, batches
from minidl.init.streams import Stream
from minidl.init.trial import Trial
from minidl.kernels import random
from minidl.options import choice, count, number, positive

__all__ = ["MetaInit", "gradient_quotient"]

DIFFERENCE = 0.05  # in the logarithm of a factor


@register("metainit")
@dataclass(frozen=True, repr=False)
class MetaInit(DataInitializer):
    r"""Learn the norm of each weight so that a step of gradient descent changes the gradient little.

    With the gradient g and the Hessian H of a batch, the gradient quotient is

    .. math:: \mathrm{GQ} = \frac1N \sum_i
              \left| \frac{g_i - (H g)_i}{g_i + \epsilon\,\mathrm{sgn}\, g_i} - 1 \right|

    over all N parameters. It is lowered by the signs of its derivatives with momentum; every step has a new
    batch. No data are needed in the paper: rows are drawn from N(0, 1) and labels at random.

    Parameters
    ----------
    base : Initializer, str, ndarray or callable, optional
        Draws the weights first. None takes those that the network has ("auto" when it is built).
    max_rows : int, optional
        See :class:`DataInitializer`.
    steps : int
        >= 1.
    lr : float
        > 0. First step in the logarithm of a norm, before momentum; it falls to 0.
    momentum : float
        In [0, 1).
    eps : float
        > 0. Where gradients are much smaller than this, GQ is 1 and has nothing to say: a larger one keeps
        a deep network from shrinking.
    batch_size : int
        >= 1.
    data : {"given", "random"}
        Batches of the rows of `X`, with their targets if `y` is given, else random ones; or, as in the paper,
        normal random numbers of the same shape with random targets.
    scales : {"tensor", "network"}
        A factor for each weight, as in the paper; or one factor for all weights together, which keeps their
        proportions.

    Raises
    ------
    OptionError
        A value is outside its range, or GQ is not finite at the start.

    Notes
    -----
    The derivatives are central differences over 10 % of a norm: in a network of moderate width the exact ones
    are decided by the few parameters whose gradient is nearly 0. With n factors a step costs 4n gradients.

    The steps are relative to the norms, which therefore stay positive, and fall to 0; the paper adds 0.1 with
    momentum 0.9 to norms that are large in its networks.

    Aware of the optimizer: weight decay belongs to g and H. The learning rate and momentum of SGD only
    multiply GQ, so they do not matter.

    What GQ prefers is not always what one calls well scaled: with factors per tensor it likes small last
    layers, and relu networks shrink more than smooth ones.

    References
    ----------
    Dauphin, Schoenholz, *MetaInit: initializing learning by learning to initialize*, NeurIPS 2019.

    Examples
    --------
    >>> from minidl.init import Orthogonal
    >>> net = minidl.MLP([16] * 10 + [4], "tanh", init=Orthogonal(gain=3.0), seed=0)
    >>> X = np.random.default_rng(0).normal(size=(64, 16))
    >>> report = MetaInit(eps=1e-3, scales="network").fit(net, X)
    >>> 0.28 < report.layers[0].gain < 0.39
    True
    """

    steps: int = 50
    lr: float = 0.08
    momentum: float = 0.5
    eps: float = 1e-5
    batch_size: int = 256
    data: str = "given"
    scales: str = "tensor"
    formula: ClassVar[str] = "norms of W: min mean |(g - Hg) / (g + eps sgn g) - 1|"
    assumes: ClassVar[str] = "smooth activations; no labels"
    fails: ClassVar[str] = "relu and narrow networks, where few parameters decide GQ; all gradients below eps"
    paper: ClassVar[str] = (
        "Dauphin, Schoenholz 2019, MetaInit: initializing learning by learning to initialize, NeurIPS"
    )
    examples: ClassVar[tuple[str, ...]] = (
        "MetaInit()",
        "MetaInit(base=He(), max_rows=256, steps=10, lr=0.05, momentum=0.9, eps=0.001, batch_size=32, "
        "data='random', scales='network')",
    )

    def __post_init__(self):
        super().__post_init__()
        self._set(
            steps=count("steps", self.steps, 1),
            lr=positive("lr", self.lr),
            momentum=number("momentum", self.momentum, "a number in [0, 1)", lambda x: 0.0 <= x < 1.0),
            eps=positive("eps", self.eps),
            batch_size=count("batch_size", self.batch_size, 1),
        )
        choice("data", self.data, ("given", "random"))
        choice("scales", self.scales, SCALES)

    def treat(self, trial: Trial) -> None:
        optimizer = optim.get(trial.optimizer or optim.SGD())
        scales = Scales(trial, kinds=("weight",), shared=self.scales == "network")
        velocity = np.zeros(scales.n)
        parts = batches(trial, min(self.batch_size, len(trial.x)))
        for step in range(self.steps):
            x, y = self._batch(trial, next(parts), trial.stream.child("step", step))
            curvature = Curvature(trial, x, y, optimizer.weight_decay)

            def log_gq(move, curvature=curvature):
                return math.log(gradient_quotient(curvature, scales.parameters(move), self.eps))

            slope = np.zeros(scales.n)
            for i, direction in enumerate(np.eye(scales.n) * DIFFERENCE):
                slope[i] = log_gq(direction) - log_gq(-direction)
            if not np.isfinite(slope).all():
                raise OptionError(f"{trial.name}: the gradient is not finite. Start from another base.")
            rate = self.lr * (1.0 - step / self.steps)
            velocity = self.momentum * velocity - rate * np.sign(slope)
            scales.move(velocity)
        scales.finish(self.steps)

    def suits(self, activation, depth=10, limit=1e3):
        """Whether the activation is smooth: at a kink, the Hessian that GQ is made of says nothing."""
        from minidl.theory import Verdict

        if activations.get(activation).kinks:
            return Verdict(False, f"{activation} has a kink: GQ then prefers weights that are too small.")
        return Verdict(True, f"{activation} is smooth.")

    def _batch(self, trial: Trial, rows: np.ndarray, stream: Stream) -> tuple[np.ndarray, np.ndarray]:
        if self.data == "given":
            x = trial.x[rows]
            if trial.y is not None:
                return x, trial.y[rows]
        else:
            x = np.empty((len(rows), trial.x.shape[1]))
            random.fill_normal(x, stream.child("x").key, 0.0, 1.0)
        return x, _random_targets(losses.get(trial.loss or "cross_entropy"), trial, len(x), stream)


def gradient_quotient(curvature: Curvature, w: np.ndarray, eps: float) -> float:
    """Return GQ at the parameters w; two gradients.

    Examples
    --------
    A loss (3w - 1)^2 at w = 1 has g = 12, H = 18:

    >>> from minidl.init import DataInitializer
    >>> class Show(DataInitializer):
    ...     def treat(self, trial):
    ...         curvature = Curvature(trial, trial.x, trial.y)
    ...         print(round(gradient_quotient(curvature, trial.net.params.flat.copy(), eps=1e-9), 4))
    >>> net = minidl.MLP([1, 1], init="ones", use_bias=False, seed=0)
    >>> report = Show().fit(net, [[3.0], [-3.0]], [1.0, -1.0], loss="mse")
    18.0
    """
    g = curvature.gradient(w)
    hg = curvature.hessian(w, g)
    sign = np.where(g < 0.0, -1.0, 1.0)
    quotient = np.abs((hg + eps * sign) / (g + eps * sign))  # |(g - hg) / (g + eps sgn g) - 1|
    layout = curvature.net.params.layout
    total = sum(float(layout.view(quotient, name).sum()) for name in layout.shapes)  # without the pads
    return total / curvature.net.params.count


def _random_targets(loss, trial: Trial, n: int, stream: Stream) -> np.ndarray:
    """Return targets that the loss takes: classes, numbers 0 and 1, or normal numbers."""
    n_outputs = trial.net.n_outputs
    u = np.empty((n, n_outputs))
    if loss.link == "softmax":
        random.fill_uniform(u, stream.child("y").key, 0.0, 1.0)
        return u.argmax(axis=1)
    if loss.link == "sigmoid":
        random.fill_uniform(u, stream.child("y").key, 0.0, 1.0)
        return (u < 0.5).astype(np.float64)
    random.fill_normal(u, stream.child("y").key, 0.0, 1.0)
    return u
