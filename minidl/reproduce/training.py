"""A network trained on an endless stream of Shapeset images, as Glorot and Bengio did."""

from __future__ import annotations

import functools
import time
import warnings
from dataclasses import dataclass

import numpy as np

from minidl import compare, init
from minidl.datasets import shapeset
from minidl.errors import InitWarning
from minidl.mlp import MLP
from minidl.optim import SGD

__all__ = ["CLASSES", "INPUTS", "SCHEMES", "Stream", "Training", "images", "network"]

INPUTS, CLASSES = 1024, 9
BATCH = 10
BLOCK = 1024  # images drawn at a time: as many as the data set draws at once anyway
#: The two schemes of the paper; their biases are 0.
SCHEMES = {
    "standard": init.VarianceScaling(1.0 / 3.0, "fan_in", "uniform"),  # U(-1, 1) / sqrt(fan_in)
    "normalized": init.Xavier("uniform"),
}
# Seeds of the images. Training streams take those from FIRST_STREAM on, so no image is ever seen twice.
MONITORED, VALIDATION, TEST, FIRST_STREAM = 1, 2, 3, 1_000_000
N_MONITORED, N_VALIDATION, N_TEST = 300, 4000, 10000


@functools.cache
def images(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return fixed images of Shapeset-3x2, grey from -1 to 1, and their classes.

    Examples
    --------
    >>> X, y = images(MONITORED, 10)
    >>> X.shape, float(X.min()) >= -1.0, float(X.max()) <= 1.0
    ((10, 1024), True, True)
    """
    return shapeset(n, seed, pixel_range=(-1.0, 1.0))


def network(activation: str, scheme: str, width: int, depth: int, seed: int) -> MLP:
    """Return a network of equal hidden layers with softmax outputs for the nine classes.

    Examples
    --------
    >>> net = network("tanh", "standard", width=8, depth=2, seed=0)
    >>> net.params["0.weight"].shape, net.n_outputs
    ((1024, 8), 9)
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InitWarning)  # that a scheme does badly is the subject
        return MLP([INPUTS, *[width] * depth, CLASSES], activation, init=SCHEMES[scheme], seed=seed)


class Stream:
    """Images without end, none of them twice, the same for all networks of a seed.

    Examples
    --------
    >>> stream = Stream(0)
    >>> X, y = stream.take(1500)
    >>> bool((Stream(0).take(7)[0] == X[:7]).all()), len(stream.take(3)[1])
    (True, 3)
    """

    def __init__(self, seed: int):
        self.next_block = FIRST_STREAM * (seed + 1)
        self.X, self.y = np.empty((0, INPUTS), np.float32), np.empty(0, np.int64)

    def take(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the next n images and their classes."""
        parts = [(self.X, self.y)]
        while sum(len(y) for _, y in parts) < n:
            parts.append(shapeset(BLOCK, self.next_block, pixel_range=(-1.0, 1.0)))
            self.next_block += 1
        X, y = (np.concatenate(part) for part in zip(*parts, strict=True))
        self.X, self.y = X[n:], y[n:]
        return X[:n], y[:n]


@dataclass(frozen=True)
class Training:
    """One training by plain SGD, ten images an update, none of them seen twice.

    Networks of one seed see the same images in the same order.

    Parameters
    ----------
    activation : str
        Of the hidden layers.
    scheme : str
        A key of ``SCHEMES``.
    width, depth : int
        Of the hidden layers.
    lr : float
        Learning rate.
    seed : int
        Of weights and images.
    updates : int
    look : int
        Updates between two looks at losses and activations.

    Examples
    --------
    >>> job = Training("tanh", "normalized", 16, 1, lr=0.01, seed=0, updates=60, look=30)
    >>> result = job.measure()
    >>> result["updates"], len(result["losses"]), len(result["means"][0]), 0 < result["error"] < 1
    ([30, 60], 2, 1, True)
    """

    activation: str
    scheme: str
    width: int
    depth: int
    lr: float
    seed: int
    updates: int
    look: int

    @property
    def work(self) -> float:
        """In multiplications, and what it takes to draw the images."""
        weights = self.width * (INPUTS + (self.depth - 1) * self.width)
        return self.updates * (weights + 150_000.0)

    def measure(self) -> dict:
        """Train.

        Returns
        -------
        dict
            "error" on the test set, "validation_error" and "validation_loss" at the end; after so many
            "updates" the mean "losses" on the images since the last look (not seen before) and "means", the
            mean activation of each hidden layer on the monitored images; "diverged"; "seconds" of one core.
        """
        started = time.process_time()
        net = network(self.activation, self.scheme, self.width, self.depth, self.seed)
        X_monitored, _ = images(MONITORED, N_MONITORED)
        updates, losses, means, diverged = [], [], [], False
        stream = Stream(self.seed)
        for first in range(0, self.updates, self.look):
            steps = min(self.look, self.updates - first)
            X, y = stream.take(BATCH * steps)
            course = compare.train(net, X, y, SGD(self.lr), steps=steps, batch_size=BATCH, every=steps)
            if course.diverged:
                diverged = True
                break
            updates.append(first + steps)
            losses += course.losses
            hidden = [x for _, x in net.walk(X_monitored)][1:]
            means.append([float(x.mean(dtype=np.float64)) for x in hidden])
        scores = net.evaluate(*images(VALIDATION, N_VALIDATION), loss="cross_entropy", n_threads=1)
        tested = net.evaluate(*images(TEST, N_TEST), loss="cross_entropy", n_threads=1)
        return {
            "error": 1.0 - tested["accuracy"],
            "validation_error": 1.0 - scores["accuracy"],
            "validation_loss": scores["loss"],
            "updates": updates,
            "losses": losses,
            "means": means,
            "diverged": diverged,
            "seconds": time.process_time() - started,
        }
