"""LSUV: layer by layer, the weights are divided by the standard deviation that a batch shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minidl.errors import OptionError
from minidl.init.base import Initializer
from minidl.init.data import DataInitializer
from minidl.init.orthogonal import Orthogonal
from minidl.init.registry import register
from minidl.init.statistics import std
from minidl.init.trial import Trial
from minidl.kernels import matmul, reduce
from minidl.options import count, flag, positive

__all__ = ["LSUV"]

ORTHOGONAL = Orthogonal()


@register("lsuv")
@dataclass(frozen=True, repr=False)
class LSUV(DataInitializer):
    r"""Layer-sequential unit variance.

    From the first layer to the last, the pre-activations :math:`z = xW + b` of a batch are measured and

    .. math:: W \leftarrow W \cdot \mathrm{target\_std} / \mathrm{Std}[z]

    until the standard deviation, over all rows and units, is within `tol` of the target. One step is exact as
    long as the bias is 0. It serves any activation, depth and width, and asks no theory.

    Parameters
    ----------
    base : Initializer, str, ndarray or callable, optional
        Draws the weights first (the paper's choice is orthogonal); None takes them as they are.
    max_rows : int, optional
        See :class:`DataInitializer`.
    tol : float
        Allowed relative error of the standard deviation, > 0.
    max_iter : int
        Most steps per layer, >= 1. A layer that needs more keeps the best of them, and a warning says so.
    target_std : float
        Finite and > 0.
    center : bool
        Also move each unit's bias so that its mean over the batch is 0. Needs biases.

    Raises
    ------
    OptionError
        A value is outside its range.

    Notes
    -----
    A layer whose pre-activations do not vary at all is left as it is, with a warning: there is nothing to
    divide by. The order of the rows does not matter, except for rounding.

    References
    ----------
    Mishkin, Matas, *All you need is a good init*, ICLR 2016, arXiv:1511.06422.

    Examples
    --------
    >>> net = minidl.MLP([20] + [32] * 30 + [2], "tanh", seed=0)
    >>> X = np.random.default_rng(0).normal(size=(256, 20))
    >>> report = LSUV().fit(net, X)
    >>> [round(float(z.std()), 3) for z in net.preactivations(X).values()][::10]
    [1.0, 1.0, 1.0, 1.0]
    """

    base: Initializer | None = ORTHOGONAL
    tol: float = 0.02
    max_iter: int = 10
    target_std: float = 1.0
    center: bool = False
    formula: ClassVar[str] = "W / Std[x W + b] layer by layer, from a batch"
    assumes: ClassVar[str] = "a batch that stands for the data; any activation"
    fails: ClassVar[str] = "a constant batch or dead layers: nothing to divide by, left alone with a warning"
    paper: ClassVar[str] = "Mishkin, Matas 2016, All you need is a good init, arXiv:1511.06422"
    examples: ClassVar[tuple[str, ...]] = (
        "LSUV()",
        "LSUV(base=LeCun(), max_rows=256, tol=0.05, max_iter=5, target_std=1.5, center=True)",
        "LSUV(base=None)",
    )

    def __post_init__(self):
        super().__post_init__()
        self._set(
            tol=positive("tol", self.tol),
            max_iter=count("max_iter", self.max_iter, 1),
            target_std=positive("target_std", self.target_std),
            center=flag("center", self.center),
        )

    def treat(self, trial: Trial) -> None:
        for spec in trial.specs:
            if self.center and trial.bias(spec) is None:
                raise OptionError(f"{self!r}: layer {spec.path} has no bias to center it with.")
        for spec, x in trial.net.walk(trial.x):
            self._treat_layer(trial, spec, x)

    def _treat_layer(self, trial: Trial, spec, x: np.ndarray) -> None:
        weight, bias = trial.weight(spec), trial.bias(spec)
        linear = matmul(x, weight)  # scaled along with the weight: one product is enough
        factor = 1.0
        shift = np.zeros(linear.shape[1]) if bias is None else bias.copy()
        best = None
        for step in range(self.max_iter + 1):
            z = factor * linear + shift
            if self.center:
                shift = shift - reduce("sum", z, 0) / len(z)
                z = factor * linear + shift
            size = std(trial.finite(spec, z))
            if size == 0.0:
                trial.warn(spec, "the pre-activations do not vary: nothing to scale by")
                trial.converged = False
                return
            error = abs(size / self.target_std - 1.0)
            if best is None or error < best[0]:
                best = error, factor, shift, step
            if error <= self.tol:
                break
            factor *= self.target_std / size
        error, factor, shift, step = best
        weight *= factor
        if bias is not None:
            bias[...] = shift
        trial.count(spec, step)
        if error > self.tol:
            trial.warn(spec, f"the standard deviation is still {error:.1%} off after {self.max_iter} steps")
            trial.converged = False
