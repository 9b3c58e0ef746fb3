"""scikit-learn as a peer."""

from __future__ import annotations

import numpy as np
from base import Peer, PredictPeer, TrainPeer, UnsupportedError, blas
from nets import LR, MOMENTUM


class Library(Peer):
    """Imports the library; its threads are those of the BLAS of NumPy."""

    title = "scikit-learn"

    def __init__(self, n_threads: int):
        import sklearn
        import sklearn.neural_network

        self.version, self.module = sklearn.__version__, sklearn.neural_network
        self.settings += f"; {blas()}"

    def refuse(self) -> None:
        """Raise UnsupportedError for an activation that the library does not have."""
        if self.net.activation not in ("relu", "tanh"):
            raise UnsupportedError(f"scikit-learn has no {self.net.activation}")


class Train(Library, TrainPeer):
    """MLPClassifier.partial_fit, one call per pass over the data."""

    settings = "MLPClassifier.partial_fit, one call over many batches, float32"

    def build(self):
        self.refuse()
        net = self.net
        if net.sizes[-1] == 2:
            raise UnsupportedError("MLPClassifier gives two classes one logistic output, not a softmax")
        self.model = self.module.MLPClassifier(
            net.sizes[1:-1], activation=net.activation, solver="sgd", alpha=0.0,
            batch_size=net.batch, learning_rate_init=LR, momentum=MOMENTUM,
            nesterovs_momentum=False, shuffle=False, tol=0.0, n_iter_no_change=10**9,
            random_state=0,
        )  # fmt: skip
        self.step(*self.batches[0])  # makes the arrays
        for velocity in self.model._optimizer.velocities:
            velocity[...] = 0

    def restart(self):
        for i, (w, b) in enumerate(self.start):
            self.model.coefs_[i][...] = w
            self.model.intercepts_[i][...] = b

    def step(self, x, y):
        self.model.partial_fit(x, y, classes=np.arange(self.net.sizes[-1]))
        return self.model.loss_

    def advance(self, n):
        x, y = self.net.data
        if n < self.net.n_batches:
            self.step(x[: n * self.net.batch], y[: n * self.net.batch])
            return n
        passes = -(-n // self.net.n_batches)
        for _ in range(passes):
            self.step(x, y)
        return passes * self.net.n_batches


class Predict(Library, PredictPeer):
    """MLPRegressor.predict, because its outputs are plain, as those of the other peers."""

    settings = "MLPRegressor.predict(x), float32"

    def prepare(self, layers):
        self.refuse()
        net = self.net
        model = self.module.MLPRegressor(
            hidden_layer_sizes=net.sizes[1:-1],
            activation=net.activation,
            solver="sgd",
            batch_size=1,
            random_state=0,
        )
        model.partial_fit(net.rows(1), np.zeros((1, net.sizes[-1]), np.float32))  # makes the arrays
        model.coefs_ = [w for w, _ in layers]
        model.intercepts_ = [b for _, b in layers]
        return model.predict
