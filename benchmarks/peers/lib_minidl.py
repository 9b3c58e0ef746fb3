"""minidl as a peer."""

from __future__ import annotations

import time

import numpy as np
from base import MatmulPeer, Peer, PredictPeer, TrainPeer
from nets import LR, MNIST, MOMENTUM


class Library(Peer):
    """Imports the library and sets its threads."""

    def __init__(self, n_threads: int):
        import minidl

        self.minidl, self.version = minidl, minidl.__version__
        minidl.set_num_threads(n_threads)
        self.settings += f", {minidl.kernels.isa()}"

    def new_net(self, layers):
        """Return a network with these weights and biases."""
        net = self.minidl.MLP(self.net.sizes, self.net.activation, seed=0)
        for i, (w, b) in enumerate(layers):
            net.params[f"{i}.weight"][...] = w
            net.params[f"{i}.bias"][...] = b
        return net


class StepByStep(Library, TrainPeer):
    """net.train_step once per batch: what a loop of one's own costs."""

    title = "minidl per call"
    settings = "train_step(x, y) per batch, default checks"

    def __init__(self, n_threads: int):
        super().__init__(n_threads)
        self.optimizer = self.minidl.SGD(lr=LR, momentum=MOMENTUM)

    def build(self):
        self.model = self.new_net(self.start)
        self.start_flat = self.model.params.flat.copy()

    def restart(self):
        self.model.params.flat[...] = self.start_flat

    def step(self, x, y):
        return self.model.train_step(x, y, loss="cross_entropy", optimizer=self.optimizer)


class Fit(StepByStep):
    """One call of net.fit over all steps of a sample."""

    title = "minidl"
    settings = "one fit call per sample, rows in order"

    def _fit(self, model, x, y, epochs: int = 1) -> float:
        history = model.fit(
            x, y, loss="cross_entropy", optimizer=self.optimizer, epochs=epochs,
            batch_size=self.net.batch, shuffle=False, verbose=0,
        )  # fmt: skip
        return history["loss"][-1]

    def step(self, x, y):
        return self._fit(self.model, x, y)

    def losses(self):
        """Fit batch by batch to see each loss, and make sure that one call does exactly the same."""
        losses = super().losses()
        whole = self.new_net(self.start)
        self._fit(whole, *self.net.checked_data)
        if not np.array_equal(whole.params.flat, self.model.params.flat):
            raise AssertionError("one fit call and one fit call per batch end in other parameters")
        return losses

    def advance(self, n):
        x, y = self.net.data
        if n < self.net.n_batches:
            self._fit(self.model, x[: n * self.net.batch], y[: n * self.net.batch])
            return n
        epochs = -(-n // self.net.n_batches)
        self._fit(self.model, x, y, epochs)
        return epochs * self.net.n_batches

    def epoch(self, x, y, xt, yt) -> dict:
        """Train one epoch on MNIST, rows in random order; return seconds, loss and test accuracy."""
        self.net = MNIST
        model = self.new_net(MNIST.start())
        started = time.perf_counter()
        history = model.fit(x, y, optimizer=self.optimizer, epochs=1, batch_size=self.net.batch, verbose=0)
        seconds = time.perf_counter() - started
        accuracy = model.evaluate(xt, yt)["accuracy"]
        return {"seconds": seconds, "loss": history["loss"][-1], "accuracy": accuracy}


class Predict(Library, PredictPeer):
    """net.predict."""

    title = "minidl"
    settings = "net.predict(x)"

    def prepare(self, layers):
        return self.new_net(layers).predict


class Matmul(Library, MatmulPeer):
    """kernels.matmul with out=."""

    title = "minidl"
    settings = "kernels.matmul(a, b, out=)"

    def prepare(self, a, b, out):
        matmul = self.minidl.kernels.matmul
        return lambda: matmul(a, b, out=out)


class MatmulKernel(Library, MatmulPeer):
    """The same product without the call from Python."""

    title = "minidl kernel"
    settings = "kernels.timing.matmul_seconds: the same product without Python in between"

    def prepare(self, a, b, out):
        from minidl.kernels.timing import matmul_seconds

        self.seconds = lambda n: matmul_seconds(a, b, out, repeats=n)
        return lambda: self.seconds(1)

    def clock(self, n):
        return n * self.seconds(n), n
