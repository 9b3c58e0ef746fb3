"""The nets that are compared, their data and start weights, true losses and true outputs.

Everything is made by NumPy from fixed seeds, so each worker process makes the same arrays for itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

LR = 0.01
MOMENTUM = 0.9
CHECKED_STEPS = 20
TOLERANCE = 1e-4  # relative, for losses in float32 against float64
DATA_BYTES = 16 * 2**20  # rows that are cycled through: about the size of a last-level cache
MIN_BATCHES, MAX_BATCHES = 4, 512


@dataclass(frozen=True)
class Net:
    """A multilayer perceptron with its batch size.

    Attributes
    ----------
    name : str
        The widths; "30x100" stands for thirty hidden layers of 100.
    batch : int
        Rows of a step.
    activation : str
        Of the hidden layers; the outputs are logits.
    """

    name: str
    batch: int
    activation: str
    sizes: tuple[int, ...] = field(init=False)

    def __post_init__(self):
        sizes: list[int] = []
        for part in self.name.split("-"):
            count, _, width = part.rpartition("x")
            sizes += [int(width)] * int(count or 1)
        object.__setattr__(self, "sizes", tuple(sizes))

    @property
    def flops(self) -> int:
        """Floating-point operations of the matrix products of a step.

        Each layer has three products of 2 * batch * fan_in * fan_out, except that the first layer
        needs no gradient with respect to its input.
        """
        layers = [n * m for n, m in zip(self.sizes, self.sizes[1:], strict=False)]
        return 2 * self.batch * (3 * sum(layers) - layers[0])

    @property
    def n_parameters(self) -> int:
        """Weights and biases."""
        return sum((n + 1) * m for n, m in zip(self.sizes, self.sizes[1:], strict=False))

    @property
    def step_bytes(self) -> int:
        """Bytes a step cannot do without: its rows in, parameters and velocity in and out."""
        return 4 * (self.batch * self.sizes[0] + 4 * self.n_parameters)

    def predict_flops(self, rows: int) -> int:
        """Floating-point operations of the matrix products of a prediction."""
        return 2 * rows * sum(n * m for n, m in zip(self.sizes, self.sizes[1:], strict=False))

    def predict_bytes(self, rows: int) -> int:
        """Bytes a prediction cannot do without: rows and parameters in, outputs out."""
        return 4 * (rows * (self.sizes[0] + self.sizes[-1]) + self.n_parameters)

    @property
    def n_batches(self) -> int:
        """Different batches that a worker cycles through."""
        bytes_per_batch = 4 * self.batch * self.sizes[0]
        return int(np.clip(DATA_BYTES // bytes_per_batch, MIN_BATCHES, MAX_BATCHES))

    @cached_property
    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows (float32) and labels (int64): the largest of random linear scores, so it can be learnt."""
        rng = np.random.default_rng(1)
        x = rng.standard_normal((self.n_batches * self.batch, self.sizes[0]), np.float32)
        teacher = rng.standard_normal((self.sizes[0], self.sizes[-1]), np.float32)
        return x, (x @ teacher).argmax(axis=1)

    @cached_property
    def checked_data(self) -> tuple[np.ndarray, np.ndarray]:
        """The rows of the steps whose losses are compared: the first batches, cycled."""
        rows = np.arange(CHECKED_STEPS * self.batch) % (self.n_batches * self.batch)
        x, y = self.data
        return x[rows], y[rows]

    def rows(self, n: int) -> np.ndarray:
        """Rows (float32) to predict."""
        return np.random.default_rng(4).standard_normal((n, self.sizes[0]), np.float32)

    def start(self, bias: float = 0.0) -> list[tuple[np.ndarray, np.ndarray]]:
        """Weights (fan_in, fan_out) and biases in float32: He's variance for relu, else Glorot's.

        Training starts with biases of 0; a prediction is checked with biases of that standard deviation.
        """
        rng = np.random.default_rng(2)
        layers = []
        for n, m in zip(self.sizes, self.sizes[1:], strict=False):
            std = np.sqrt(2.0 / n if self.activation == "relu" else 2.0 / (n + m))
            w = rng.normal(0.0, std, (n, m)).astype(np.float32)
            layers.append((w, rng.normal(0.0, bias, m).astype(np.float32)))
        return layers


NETS = {
    net.name: net
    for net in (
        Net("4-16-16-3", 16, "relu"),
        Net("64-128-64-10", 32, "relu"),
        Net("17-64-64-6", 64, "tanh"),
        Net("100-256-256-2", 256, "relu"),
        Net("784-256-128-10", 128, "relu"),
        Net("784-1024-1024-10", 256, "relu"),
        Net("784-30x100-10", 128, "tanh"),
        Net("256-512-512-100", 128, "gelu"),
        Net("2048-2048-2048-1000", 512, "relu"),
    )
}
QUICK = ("4-16-16-3", "17-64-64-6", "784-256-128-10")
MNIST = NETS["784-256-128-10"]


# --- the step in NumPy: a peer in float32, and in float64 what every peer is checked against --------


def _relu(z: np.ndarray, y: np.ndarray, d: np.ndarray) -> None:
    np.maximum(z, 0, out=y)
    np.greater(z, 0, out=d)


def _tanh(z: np.ndarray, y: np.ndarray, d: np.ndarray) -> None:
    np.tanh(z, out=y)
    np.multiply(y, y, out=d)
    np.subtract(1, d, out=d)


def _gelu(z: np.ndarray, y: np.ndarray, d: np.ndarray) -> None:
    """y = z Phi(z) and y' = Phi(z) + z phi(z), Phi the normal distribution function, phi its density."""
    from scipy.special import ndtr

    ndtr(z, out=d)
    np.multiply(z, d, out=y)
    d += z * np.exp(-0.5 * z * z) * z.dtype.type(1 / np.sqrt(2 * np.pi))


ACTIVATIONS: dict[str, Callable] = {"relu": _relu, "tanh": _tanh, "gelu": _gelu}


class NumpyNet:
    """The training step written by hand in NumPy, into arrays that are made once."""

    def __init__(self, net: Net, dtype: type):
        self.act = ACTIVATIONS[net.activation]
        self.lr, self.momentum = dtype(LR), dtype(MOMENTUM)
        self.params = [(w.astype(dtype), b.astype(dtype)) for w, b in net.start()]
        self.grads = [(np.empty_like(w), np.empty_like(b)) for w, b in self.params]
        self.velocity = [(np.zeros_like(w), np.zeros_like(b)) for w, b in self.params]
        rooms = [[np.empty((net.batch, m), dtype) for m in net.sizes[1:]] for _ in range(4)]
        self.z, self.y, self.d, self.dz = rooms
        self.rows = np.arange(net.batch)

    def restart(self, start: list[tuple[np.ndarray, np.ndarray]]) -> None:
        """Go back to the start weights."""
        for layer, first in zip(self.params, start, strict=True):
            for array, value in zip(layer, first, strict=True):
                array[...] = value

    def step(self, x: np.ndarray, labels: np.ndarray) -> float:
        """Make one update on a batch and return the loss before it."""
        value, last = x, len(self.params) - 1
        for i, (w, b) in enumerate(self.params):
            np.matmul(value, w, out=self.z[i])
            self.z[i] += b
            if i < last:
                self.act(self.z[i], self.y[i], self.d[i])
                value = self.y[i]

        z, dz = self.z[last], self.dz[last]
        z -= z.max(axis=1, keepdims=True)
        np.exp(z, out=dz)
        total = dz.sum(axis=1, keepdims=True)
        loss = float((np.log(total[:, 0]) - z[self.rows, labels]).mean())
        dz /= total
        dz[self.rows, labels] -= 1
        dz /= len(x)

        for i in range(last, -1, -1):
            dw, db = self.grads[i]
            np.matmul((self.y[i - 1] if i else x).T, self.dz[i], out=dw)
            np.sum(self.dz[i], axis=0, out=db)
            if i:
                np.matmul(self.dz[i], self.params[i][0].T, out=self.dz[i - 1])
                self.dz[i - 1] *= self.d[i - 1]

        for layer, grads, velocity in zip(self.params, self.grads, self.velocity, strict=True):
            for w, g, v in zip(layer, grads, velocity, strict=True):
                v *= self.momentum
                v += g
                np.multiply(v, self.lr, out=g)
                w -= g
        return loss


def true_outputs(net: Net, x: np.ndarray, layers: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return what these layers predict for the rows of x, in NumPy float64."""
    value = x.astype(np.float64)
    for i, (w, b) in enumerate(layers):
        value = value @ w.astype(np.float64) + b
        if i < len(layers) - 1:
            ACTIVATIONS[net.activation](value, value_out := np.empty_like(value), np.empty_like(value))
            value = value_out
    return value


def true_losses(net: Net) -> list[float]:
    """Return the losses of the checked steps in NumPy float64."""
    x, y = net.checked_data
    x, model, b = x.astype(np.float64), NumpyNet(net, np.float64), net.batch
    return [model.step(x[i : i + b], y[i : i + b]) for i in range(0, len(x), b)]
