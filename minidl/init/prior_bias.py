"""Output biases at what is known without looking at the inputs: the class frequencies, the mean."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minidl.errors import DataError, DtypeError, OptionError, ShapeError
from minidl.init.base import Initializer
from minidl.init.checks import check_arrays, narrow
from minidl.init.registry import get, register
from minidl.init.spec import LayerSpec
from minidl.init.variance_scaling import LeCun
from minidl.init.weight_of import WeightOf
from minidl.options import count, finite, non_negative, significant

__all__ = ["PriorBias"]

LECUN = LeCun()


@register("prior_bias")
@dataclass(frozen=True, repr=False)
class PriorBias(WeightOf):
    r"""Biases of the last layer at the best constant prediction, so that training need not find it.

    .. math:: b_c = \log p_c\ \mathrm{(classes)}, \qquad b = \log\frac{p}{1 - p}\ \mathrm{(one\ logit)},
              \qquad b = \bar y\ \mathrm{(regression)}

    Usually made by :meth:`from_labels`. For rare classes, such as the objects of a detector, it keeps the
    first steps from being spent on the bias, and from being dominated by the common class.

    Parameters
    ----------
    values : sequence of float
        The biases, one for each output; finite.
    weight : Initializer, str, ndarray or callable
        Fills the weight.

    Raises
    ------
    OptionError
        A value is not a finite number; the layer is not the last one, or has no bias.
    ShapeError
        The layer has another number of outputs.

    References
    ----------
    Lin, Goyal, Girshick, He, Dollár, *Focal loss for dense object detection*, ICCV 2017, arXiv:1708.02002.

    Examples
    --------
    >>> PriorBias.from_labels([0, 0, 0, 1], smoothing=0.0)
    PriorBias(values=(-0.2876820725, -1.386294361))
    """

    values: tuple[float, ...]
    weight: Initializer = LECUN
    formula: ClassVar[str] = "W by another initializer; b = log p_c, log(p / (1 - p)) or the mean of y"
    assumes: ClassVar[str] = "labels of the training data, and no others; inputs of the last layer of mean 0"
    fails: ClassVar[str] = (
        "classes with another frequency where the network is used; a class that is too rare"
    )
    paper: ClassVar[str] = (
        "Lin, Goyal, Girshick, He, Dollár 2017, Focal loss for dense object detection, arXiv:1708.02002"
    )
    examples: ClassVar[tuple[str, ...]] = (
        "PriorBias(values=(-0.5, -1.5))",
        "PriorBias(values=(0.25,), weight=Zeros())",
    )

    def __post_init__(self):
        values = self.values
        if isinstance(values, numbers.Real | str) or not np.iterable(values):
            raise OptionError(f"values={values!r}: expected a sequence of numbers, one for each output.")
        values = tuple(finite("values", x) for x in values)
        self._set(values=values, weight=get(self.weight))

    @classmethod
    def from_labels(
        cls,
        y,
        n_classes: int | None = None,
        *,
        one_logit: bool = False,
        smoothing: float = 1.0,
        weight: object = "lecun_normal",
    ) -> PriorBias:
        r"""Return the initializer for training targets.

        Parameters
        ----------
        y : array_like
            Integers or bools of shape (n,): class numbers, counted from 0. Floats of shape (n,) or (n, K):
            the targets of a regression, unless `n_classes` says that they are class numbers (n,), or rows
            of class probabilities (n, K).
        n_classes : int, optional
            At least 2; by default one more than the largest class number.
        one_logit : bool
            For a network with a single output and ``loss="binary_cross_entropy"``: y are class numbers 0 and
            1, and the bias is log(p / (1 - p)) with p the frequency of 1.
        smoothing : float
            >= 0, added to the count of every class, so that one without examples gets a finite bias:
            :math:`p_c = (n_c + s) / (n + s K)`. With 0 such a class is an error.
        weight : Initializer, str, ndarray or callable

        Returns
        -------
        PriorBias
            Its values have 10 significant digits.

        Raises
        ------
        DataError, DtypeError, ShapeError, OptionError
            The targets are empty or not what they should be.

        Examples
        --------
        >>> PriorBias.from_labels([1, 0, 0, 0, 0, 0, 0, 0], one_logit=True, smoothing=0.0).values
        (-1.945910149,)
        >>> PriorBias.from_labels([1.0, 2.0, 4.5]).values
        (2.5,)
        """
        y = _targets(y)
        smoothing = non_negative("smoothing", smoothing)
        if one_logit and n_classes not in (None, 2):
            raise OptionError(f"one_logit=True, n_classes={n_classes!r}: one logit is for two classes.")
        if one_logit:
            n_classes = 2
        if n_classes is None and y.dtype.kind == "f":
            columns = y.reshape(len(y), -1).T
            return cls(tuple(significant(math.fsum(column) / len(y)) for column in columns), weight)
        counts = _counts(y, n_classes) + smoothing
        if not counts.min() > 0.0:
            raise DataError(f"y: class {int(counts.argmin())} has no example; smoothing=1.0 keeps it finite.")
        if one_logit:
            return cls((significant(math.log(counts[1] / counts[0])),), weight)
        total = math.fsum(counts)
        return cls(tuple(significant(math.log(x / total)) for x in counts), weight)

    def check_network(self, specs):
        for spec in specs:
            self._check(spec)
        super().check_network(specs)

    def _check(self, spec: LayerSpec) -> None:
        if spec.role != "output":
            raise OptionError(
                f"layer {spec.path!r}: PriorBias is for the last layer only; give it to that one, as in "
                "Dense(10, init=PriorBias(...))."
            )
        if spec.n_outputs != len(self.values):
            hint = " For a single logit pass one_logit=True to from_labels." if spec.n_outputs == 1 else ""
            raise ShapeError(
                f"layer {spec.path!r}: PriorBias has {len(self.values)} values, the layer has "
                f"{spec.n_outputs} outputs.{hint}"
            )

    def init_layer(self, spec, seed, weight, bias=None):
        check_arrays(spec, weight, bias)
        self._check(spec)
        if bias is None:
            raise OptionError(f"layer {spec.path!r}: PriorBias needs a bias, and this layer has none.")
        values = narrow(f"layer {spec.path!r}: PriorBias", np.array(self.values), bias.dtype)
        self.weight.init_layer(spec, seed, weight)
        bias[...] = values

    def resolve(self, spec):
        chosen, reason = self.weight.resolve(spec)
        return (self, reason) if chosen is self.weight else (PriorBias(self.values, chosen), reason)


def _targets(y) -> np.ndarray:
    try:
        y = np.asarray(y)
    except ValueError:
        raise ShapeError("y has rows of different lengths: expected (n,) or (n, K).") from None
    if y.ndim not in (1, 2) or (y.ndim == 2 and not y.shape[1]):
        raise ShapeError(f"y has shape {y.shape}: expected (n,) or (n, K).")
    if not y.size:
        raise DataError("y is empty: expected the targets of the training data.")
    if y.dtype.kind not in "biuf":
        raise DtypeError(f"y has dtype {y.dtype}: expected numbers.")
    if not np.isfinite(y).all():
        raise DataError("y: expected finite numbers, got NaN or infinity.")
    return y


def _counts(y: np.ndarray, n_classes: int | None) -> np.ndarray:
    """Return how many examples each class has, as float64."""
    if n_classes is not None:
        n_classes = count("n_classes", n_classes, minimum=2)
    if y.ndim == 2 and y.shape[1] > 1:
        if y.shape[1] != n_classes:
            raise ShapeError(
                f"y has shape {y.shape}: for rows of class probabilities pass n_classes={y.shape[1]}, for a "
                "regression floats."
            )
        rows = y.astype(np.float64)
        if rows.min() < 0.0 or np.abs(rows.sum(axis=1) - 1.0).max() > 1e-4:
            raise DataError("y: expected rows of probabilities, >= 0 and of sum 1.")
        return np.array([math.fsum(column) for column in rows.T])
    labels = y.reshape(-1)
    if labels.min() < 0 or np.any(labels != np.floor(labels)):
        raise DataError("y: expected class numbers 0, 1, 2, ...")
    most = int(labels.max())
    if n_classes is None:
        n_classes = max(most + 1, 2)
    if most >= n_classes:
        raise DataError(f"y: class {most} does not exist with n_classes={n_classes}; they count from 0.")
    return np.bincount(labels.astype(np.int64), minlength=n_classes).astype(np.float64)
