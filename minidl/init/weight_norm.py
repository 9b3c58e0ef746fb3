"""The data-dependent initialization of weight normalization, written in the weights themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from minidl.init.base import Initializer
from minidl.init.data import DataInitializer
from minidl.init.distributions import Normal
from minidl.init.registry import register
from minidl.init.trial import Trial
from minidl.init.units import standardize
from minidl.options import positive

__all__ = ["WeightNormInit"]

NORMAL = Normal(0.05)


@register("weight_norm_init")
@dataclass(frozen=True, repr=False)
class WeightNormInit(DataInitializer):
    r"""Each unit starts with mean 0 and the same standard deviation over a batch, as in weight normalization.

    Weight normalization writes :math:`w = g\, v / \lVert v \rVert`. Its first batch, with
    :math:`t = v \cdot x / \lVert v \rVert`, sets

    .. math:: g = s / \sigma[t], \qquad b = -s\, \mu[t] / \sigma[t]

    layer by layer. Here the product w is stored: no layer is reparametrized.

    Parameters
    ----------
    base : Initializer, str, ndarray or callable, optional
        Draws v; the paper's choice is ``Normal(0.05)``. None takes the weights that the network has.
    max_rows : int, optional
        See :class:`DataInitializer`.
    scale : float
        s, finite and > 0.

    Raises
    ------
    OptionError
        A value is outside its range.
    DataError
        There is one row only.

    References
    ----------
    Salimans, Kingma, *Weight normalization: a simple reparameterization to accelerate training of deep neural
    networks*, NeurIPS 2016, arXiv:1602.07868.

    Examples
    --------
    >>> net = minidl.MLP([20, 32, 2], "relu", init=WeightNormInit(scale=0.5), seed=0)
    >>> X = np.random.default_rng(0).normal(size=(256, 20))
    >>> report = net.pending_init.fit(net, X)
    >>> net.preactivations(X)["1"].std(axis=0).round(3)
    array([0.5, 0.5], dtype=float32)
    """

    base: Initializer | None = NORMAL
    scale: float = 1.0
    formula: ClassVar[str] = "w = scale v / Std[v x], b = -mean, unit by unit, from a batch"
    assumes: ClassVar[str] = "a batch that stands for the data; any activation"
    fails: ClassVar[str] = "units that do not vary, rare features, small batches"
    paper: ClassVar[str] = "Salimans, Kingma 2016, Weight normalization, arXiv:1602.07868"
    examples: ClassVar[tuple[str, ...]] = (
        "WeightNormInit()",
        "WeightNormInit(base=LeCun(), max_rows=256, scale=0.5)",
    )

    def __post_init__(self):
        super().__post_init__()
        self._set(scale=positive("scale", self.scale))

    def treat(self, trial: Trial) -> None:
        for spec, x in trial.net.walk(trial.x):
            standardize(trial, spec, x, std=self.scale)
