"""Losses: what each expects of the targets, which kernel computes it, and its NumPy float64 twin.

The loss of a batch is the weighted mean over its rows, ``sum(w * l) / sum(w)``; without weights
every w is 1. Below, z is the output of the network before the loss's own output function (its
``link``), shape (n, K), and y the target of the same shape. Definitions are those of PyTorch.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .errors import OptionError, unknown_name
from .options import number, positive
from .targets import Targets, encode_binary, encode_classes, encode_real

__all__ = [
    "MAE",
    "MSE",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "Huber",
    "Loss",
    "Targets",
    "from_dict",
    "get",
]


class Loss:
    """Base class of the losses: frozen objects that compare by value.

    Attributes
    ----------
    name : str
        The name :func:`get` knows it by.
    link : str
        The output function that belongs to the loss: "softmax", "sigmoid" or "identity".
        ``predict_proba`` applies it, and as the last activation of a network it is fused into the
        loss.
    metric : str or None
        "accuracy" for a classifier's loss, else None.
    kernel_names : dict of str to str
        The kernel for each kind of target.
    """

    name: ClassVar[str]
    link: ClassVar[str] = "identity"
    metric: ClassVar[str | None] = None
    kernel_names: ClassVar[dict[str, str]]

    @property
    def params(self) -> tuple[float, ...]:
        """The numbers the kernel takes beside z and y."""
        return tuple(getattr(self, field.name) for field in dataclasses.fields(self))

    def encode(self, y, n_outputs: int, dtype) -> Targets:
        """Check targets and bring them into the form the kernel reads; copy only when needed.

        Parameters
        ----------
        y : array_like
            Finite numbers, shape (n, n_outputs), or (n,) when n_outputs is 1.
        n_outputs : int
            K, the number of outputs of the network.
        dtype : dtype_like
            float32 or float64, the dtype of the network.

        Returns
        -------
        Targets

        Raises
        ------
        ShapeError
            The shape does not fit the network.
        DtypeError
            y does not hold numbers.
        DataError
            y is empty, not finite, or out of range; the message names the first bad row.
        """
        return encode_real(y, n_outputs, dtype, self.name)

    def reference(self, z, target, sample_weight=None) -> tuple[np.ndarray, np.ndarray]:
        """Compute the loss of each row and the gradient of the batch loss, in NumPy float64.

        Parameters
        ----------
        z : array_like, shape (n, K)
            Outputs of the network before the link.
        target : Targets or array_like
            What :meth:`encode` returned, or its array.
        sample_weight : array_like, shape (n,), optional
            Weights >= 0; 1 each where absent.

        Returns
        -------
        row_losses : ndarray of float64, shape (n,)
            Unweighted; the batch loss is ``sum(w * row_losses) / sum(w)``.
        gradient : ndarray of float64, shape (n, K)
            Of the batch loss with respect to z; zero when all weights are zero.
        """
        z = np.asarray(z, dtype=np.float64)
        array = np.asarray(target.array if isinstance(target, Targets) else target)
        row_losses, gradient = self._rows(z, array)
        return row_losses, gradient * _row_scale(sample_weight, len(z))[:, np.newaxis]

    def _rows(self, z: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the loss of each row and its own gradient. Here: a mean over outputs."""
        y = y.astype(np.float64).reshape(z.shape)
        values, derivatives = self._elements(z, y)
        return values.mean(axis=1), derivatives / z.shape[1]

    def _elements(self, z: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError

    def to_dict(self) -> dict:
        """Return the loss as JSON-able values; :func:`from_dict` is the inverse."""
        return {"name": self.name, **dataclasses.asdict(self)}


@dataclass(frozen=True)
class CrossEntropy(Loss):
    r"""Softmax cross-entropy for K >= 2 classes that exclude each other.

    .. math:: l = -\sum_j q_j \log p_j, \quad p = \mathrm{softmax}(z), \quad
              q = (1 - \epsilon)\, y + \epsilon / K, \qquad
              \frac{\partial l}{\partial z_j} = p_j \sum_i q_i - q_j

    Parameters
    ----------
    label_smoothing : float, default 0
        :math:`\epsilon` in [0, 1), the share of the target that is spread over all classes [1]_.

    Notes
    -----
    Targets are class numbers 0 ... K-1, shape (n,) or (n, 1), integer or bool; or one distribution
    per row, shape (n, K), whose sums are 1 to within 1e-4.

    References
    ----------
    .. [1] C. Szegedy et al., "Rethinking the inception architecture for computer vision", CVPR
           2016, section 7.

    Examples
    --------
    >>> loss = CrossEntropy()
    >>> loss.encode([2, 0], n_outputs=3, dtype="float32")
    Targets(array=array([2, 0]), kind='label')
    >>> row_losses, gradient = loss.reference([[0.0, 0.0]], [1])
    >>> row_losses.round(4), gradient
    (array([0.6931]), array([[ 0.5, -0.5]]))
    """

    label_smoothing: float = 0.0

    name: ClassVar[str] = "cross_entropy"
    link: ClassVar[str] = "softmax"
    metric: ClassVar[str | None] = "accuracy"
    kernel_names: ClassVar[dict[str, str]] = {
        "label": "cross_entropy_label",
        "probability": "cross_entropy_probability",
    }

    def __post_init__(self):
        value = number(
            "label_smoothing", self.label_smoothing, "a number in [0, 1)", lambda x: 0.0 <= x < 1.0
        )
        object.__setattr__(self, "label_smoothing", value)

    def encode(self, y, n_outputs: int, dtype) -> Targets:
        """Check targets: class numbers, or a distribution per row.

        Parameters
        ----------
        y : array_like
            Integer or bool class numbers in [0, n_outputs), shape (n,) or (n, 1); or rows of
            probabilities, shape (n, n_outputs), >= 0, with sum 1 to within 1e-4.
        n_outputs : int
            K, the number of outputs of the network, >= 2.
        dtype : dtype_like
            float32 or float64, the dtype of the network.

        Returns
        -------
        Targets
            Kind "label": int64, shape (n,). Kind "probability": `dtype`, shape (n, n_outputs).

        Raises
        ------
        ShapeError, DtypeError, DataError
            As for :meth:`Loss.encode`.
        """
        return encode_classes(y, n_outputs, dtype, self.name)

    def _rows(self, z, y):
        n_outputs = z.shape[1]
        q = np.eye(n_outputs)[y] if y.ndim == 1 else y.astype(np.float64)
        q = (1.0 - self.label_smoothing) * q + self.label_smoothing / n_outputs
        shifted = z - z.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return -(q * log_p).sum(axis=1), np.exp(log_p) * q.sum(axis=1, keepdims=True) - q


@dataclass(frozen=True)
class BinaryCrossEntropy(Loss):
    r"""Sigmoid cross-entropy: one yes/no question per output, averaged over the K outputs.

    .. math:: l = \frac1K \sum_j \left[ \log(1 + e^{z_j}) - y_j z_j \right], \qquad
              \frac{\partial l}{\partial z_j} = \frac{\sigma(z_j) - y_j}{K}

    computed as :math:`\max(z, 0) - y z + \log(1 + e^{-|z|})`, which cannot overflow. Targets are in
    [0, 1]: 0 and 1 (or bool), or probabilities.

    Examples
    --------
    >>> row_losses, gradient = BinaryCrossEntropy().reference([[0.0], [0.0]], [[1.0], [0.0]])
    >>> row_losses.round(4), gradient.ravel()
    (array([0.6931, 0.6931]), array([-0.25,  0.25]))
    """

    name: ClassVar[str] = "binary_cross_entropy"
    link: ClassVar[str] = "sigmoid"
    metric: ClassVar[str | None] = "accuracy"
    kernel_names: ClassVar[dict[str, str]] = {"real": "binary_cross_entropy"}

    def encode(self, y, n_outputs: int, dtype) -> Targets:
        """Check targets: as :meth:`Loss.encode`, and every value in [0, 1]."""
        return encode_binary(y, n_outputs, dtype, self.name)

    def _elements(self, z, y):
        tail = np.exp(-np.abs(z))
        sigmoid = np.where(z >= 0, 1.0, tail) / (1.0 + tail)
        return np.maximum(z, 0.0) - y * z + np.log1p(tail), sigmoid - y


@dataclass(frozen=True)
class MSE(Loss):
    r"""Mean squared error: :math:`l = \frac1K \sum_j (z_j - y_j)^2`.

    Its gradient is :math:`\frac2K (z_j - y_j)`. There is no factor one half.

    Examples
    --------
    >>> row_losses, gradient = MSE().reference([[1.0, 3.0]], [[0.0, 0.0]])
    >>> row_losses, gradient
    (array([5.]), array([[1., 3.]]))
    """

    name: ClassVar[str] = "mse"
    kernel_names: ClassVar[dict[str, str]] = {"real": "mse"}

    def _elements(self, z, y):
        d = z - y
        return d * d, 2.0 * d


@dataclass(frozen=True)
class MAE(Loss):
    r"""Mean absolute error: :math:`l = \frac1K \sum_j |z_j - y_j|`.

    Its gradient is :math:`\frac1K \mathrm{sign}(z_j - y_j)`, with sign(0) = 0.

    Examples
    --------
    >>> row_losses, gradient = MAE().reference([[1.0, -3.0]], [[0.0, 0.0]])
    >>> row_losses, gradient
    (array([2.]), array([[ 0.5, -0.5]]))
    """

    name: ClassVar[str] = "mae"
    kernel_names: ClassVar[dict[str, str]] = {"real": "mae"}

    def _elements(self, z, y):
        d = z - y
        return np.abs(d), np.sign(d)


@dataclass(frozen=True)
class Huber(Loss):
    r"""Huber's loss [1]_: squared near zero, absolute far out, so that outliers pull less.

    .. math:: l = \frac1K \sum_j h(z_j - y_j), \qquad
              h(d) = \tfrac12 d^2 \text{ for } |d| < \delta, \quad
              \delta (|d| - \tfrac12 \delta) \text{ else}

    The derivative of h is d clipped to :math:`[-\delta, \delta]`.

    Parameters
    ----------
    delta : float, default 1
        :math:`\delta`, finite and > 0, in the units of y.

    References
    ----------
    .. [1] P. J. Huber, "Robust estimation of a location parameter", Annals of Mathematical
           Statistics 35(1), 1964.

    Examples
    --------
    >>> row_losses, gradient = Huber(delta=1.0).reference([[0.5], [3.0]], [[0.0], [0.0]])
    >>> row_losses, gradient.ravel()
    (array([0.125, 2.5  ]), array([0.25, 0.5 ]))
    """

    delta: float = 1.0

    name: ClassVar[str] = "huber"
    kernel_names: ClassVar[dict[str, str]] = {"real": "huber"}

    def __post_init__(self):
        object.__setattr__(self, "delta", positive("delta", self.delta))

    def _elements(self, z, y):
        d = z - y
        size = np.abs(d)
        far = self.delta * (size - 0.5 * self.delta)
        return np.where(size < self.delta, 0.5 * d * d, far), np.clip(d, -self.delta, self.delta)


_TABLE = {cls.name: cls for cls in (CrossEntropy, BinaryCrossEntropy, MSE, MAE, Huber)}
_ALIASES = {
    "bce": BinaryCrossEntropy,
    "mean_squared_error": MSE,
    "mean_absolute_error": MAE,
}
_NAMES = _TABLE | _ALIASES


def get(x: Loss | str) -> Loss:
    """Return the loss that `x` stands for.

    Parameters
    ----------
    x : Loss or str
        A loss is returned as it is; a name gives the loss with its default options. Names:
        "cross_entropy", "binary_cross_entropy" ("bce"), "mse" ("mean_squared_error"), "mae"
        ("mean_absolute_error"), "huber".

    Raises
    ------
    OptionError
        The name is unknown, with a did-you-mean.

    Examples
    --------
    >>> get("huber")
    Huber(delta=1.0)
    """
    if isinstance(x, Loss):
        return x
    if not isinstance(x, str) or x not in _NAMES:
        raise unknown_name("loss", x, _NAMES)
    return _default(_NAMES[x])


@functools.cache
def _default(cls: type[Loss]) -> Loss:
    """Return the loss with its default options; losses are frozen, so one of each will do."""
    return cls()


def from_dict(record: dict) -> Loss:
    """Rebuild the loss that ``to_dict`` wrote.

    Raises
    ------
    OptionError
        The name or a field is unknown or out of range.

    Examples
    --------
    >>> from_dict(CrossEntropy(label_smoothing=0.1).to_dict())
    CrossEntropy(label_smoothing=0.1)
    """
    fields = dict(record)
    name = fields.pop("name", None)
    if name not in _TABLE:
        raise unknown_name("loss", name, _TABLE)
    known = [field.name for field in dataclasses.fields(_TABLE[name])]
    for key in fields:
        if key not in known:
            raise OptionError(f"loss {name!r} has no option {key!r}; it has: {', '.join(known)}.")
    return _TABLE[name](**fields)


def _row_scale(sample_weight, n_rows: int) -> np.ndarray:
    """Return the factor w / sum(w) of each row in the batch loss."""
    w = np.ones(n_rows) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    total = w.sum()
    return w / total if total > 0.0 else np.zeros(n_rows)
