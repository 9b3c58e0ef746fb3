"""GradInit: one factor per parameter tensor, learnt so that the first step of the optimizer helps most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minidl import optim
from minidl.errors import OptionError
from minidl.init.curvature import Curvature
from minidl.init.data import DataInitializer
from minidl.init.registry import register
from minidl.init.scales import SCALES, Adam, Scales, batches
from minidl.init.statistics import norm
from minidl.init.trial import Trial, require_rows
from minidl.options import choice, count, positive

__all__ = ["GradInit"]


@register("gradinit")
@dataclass(frozen=True, repr=False)
class GradInit(DataInitializer):
    r"""Learn a factor for each parameter tensor: the loss after one step of the optimizer shall be low.

    .. math:: \min_m L_{\tilde S}\bigl(\theta_m - \eta\, A[\nabla L_S(\theta_m)]\bigr)
              \quad\text{with}\quad \lVert \nabla L_S(\theta_m) \rVert_2 \le \gamma

    where :math:`\theta_m` are the parameters times their factors, A is the direction of the first step of
    the optimizer that the network will be trained with, of length 1, and half of the rows of
    :math:`\tilde S` are from S. A step of the
    search lowers the norm of the gradient where that is above :math:`\gamma`, else the loss after the step;
    both by Adam on the logarithms of the factors, with a rate that falls to 0.

    Parameters
    ----------
    base : Initializer, str, ndarray or callable, optional
        Draws the weights first. None takes those that the network has ("auto" when it is built).
    max_rows : int, optional
        See :class:`DataInitializer`.
    steps : int
        Steps of the search, >= 1. The default lets a factor change by up to about 9 times.
    lr : float
        First learning rate of the search, > 0: the relative change of a factor in a step.
    gamma : float
        Largest norm of the gradient, > 0.
    eta : float or None
        Length of the step that is looked at, > 0. None looks at the first step as the optimizer will make
        it, its learning rate times the gradient; unless that rate is large, such a step changes little, and
        the search shrinks the outputs instead.
    batch_size : int
        Rows of S, >= 2 (at most half of those there are).
    min_scale : float
        No factor falls below this, > 0.
    scales : {"tensor", "network"}
        A factor for each parameter tensor, as in the paper; or one factor for all together, which keeps
        their proportions.

    Raises
    ------
    OptionError
        A value is outside its range, or a gradient is not finite at the start.
    DataError
        There are fewer than 4 rows.

    Notes
    -----
    Aware of the optimizer: weight decay belongs to the gradient, and with ``eta=None`` the step has the
    learning rate, which Nesterov momentum makes :math:`1 + \mu` times longer (plain momentum leaves the
    first step as it is). For an optimizer whose steps are bounded
    in another norm the paper takes that norm; SGD is bounded in the Euclidean one.

    The derivative of the loss after the step contains the Hessian times a vector, by a central difference of
    gradients in float64: a step of the search costs 4 gradients at most, whatever the number of layers.
    Biases that are 0 stay 0.

    Factors of their own do not bring layers back to equal gains: often the last ones grow more. One factor
    for the network repairs a wrong overall scale.

    References
    ----------
    Zhu, Ni, Xu, Kong, Huang, Goldstein, *GradInit: learning to initialize neural networks for stable and
    efficient training*, NeurIPS 2021, arXiv:2102.08098.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(200, 20))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> net = minidl.MLP([20, 32, 32, 32, 2], "elu", seed=0)
    >>> net.params.flat *= 5
    >>> before = net.gradients(X, y)
    >>> report = GradInit().fit(net, X, y, optimizer=minidl.SGD(0.1))
    >>> net.gradients(X, y) < 0.1 * before
    True
    """

    steps: int = 100
    lr: float = 0.05
    gamma: float = 1.0
    eta: float | None = 0.1
    batch_size: int = 64
    min_scale: float = 0.01
    scales: str = "tensor"
    needs_targets: ClassVar[bool] = True
    formula: ClassVar[str] = "factors m on all tensors: min L(w_m - eta A[g]) with |g| <= gamma"
    assumes: ClassVar[str] = "labels, and an optimizer that is known beforehand"
    fails: ClassVar[str] = "gamma decides how large gradients are in the end; biases of 0 are never scaled"
    paper: ClassVar[str] = (
        "Zhu, Ni, Xu, Kong, Huang, Goldstein 2021, GradInit: learning to initialize neural networks for "
        "stable and efficient training, arXiv:2102.08098"
    )
    examples: ClassVar[tuple[str, ...]] = (
        "GradInit()",
        "GradInit(base=He(), max_rows=256, steps=50, lr=0.1, gamma=2.0, eta=None, batch_size=32, "
        "min_scale=0.1, scales='network')",
    )

    def __post_init__(self):
        super().__post_init__()
        self._set(
            steps=count("steps", self.steps, 1),
            lr=positive("lr", self.lr),
            gamma=positive("gamma", self.gamma),
            eta=None if self.eta is None else positive("eta", self.eta),
            batch_size=count("batch_size", self.batch_size, 2),
            min_scale=positive("min_scale", self.min_scale),
        )
        choice("scales", self.scales, SCALES)

    def treat(self, trial: Trial) -> None:
        require_rows(trial, 4, "for two batches that share half of their rows")
        optimizer = optim.get(trial.optimizer or optim.SGD())
        # what the first step does with a gradient of 1: momentum starts from it, Nesterov looks ahead
        rate_of_step = float(optimizer.learning_rates(0, 1)[0])
        rate_of_step *= -float(optimizer.reference(0.0, 1.0, None, 1.0)[0])
        half = max(1, min(self.batch_size, len(trial.x) // 2) // 2)
        scales = Scales(trial, shared=self.scales == "network", min_scale=self.min_scale)
        objective, constraint = Adam(scales.n), Adam(scales.n)
        parts = batches(trial, half)
        for step in range(self.steps):
            first, shared, new = next(parts), next(parts), next(parts)
            rate = self.lr * (1.0 - step / self.steps)
            one = self._loss(trial, optimizer, first, shared)
            w = scales.parameters()
            g = one.gradient(w)
            size = norm(g)
            if not np.isfinite(size):
                raise OptionError(f"{trial.name}: the gradient is not finite. Start from another base.")
            if size > self.gamma:
                scales.move(-rate * constraint(scales.derivative(w, one.hessian(w, g / size) / size)))
                continue
            eta = rate_of_step if self.eta is None else self.eta / size if size > 0.0 else 0.0
            v = self._loss(trial, optimizer, shared, new, decay=False).gradient(w - eta * g)
            # a step of constant length does not change where the gradient only becomes longer
            across = v if self.eta is None or size == 0.0 else v - g * (float((g * v).sum()) / size**2)
            slope = v - eta * one.hessian(w, across)
            scales.move(-rate * objective(scales.derivative(w, slope)))
        scales.finish(self.steps)

    def _loss(self, trial: Trial, optimizer, *parts: np.ndarray, decay: bool = True) -> Curvature:
        """The loss of a batch, with the penalty if there is one."""
        rows = np.concatenate(parts)
        return Curvature(trial, trial.x[rows], trial.y[rows], optimizer.weight_decay if decay else 0.0)
