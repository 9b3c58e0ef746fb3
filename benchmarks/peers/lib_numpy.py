"""NumPy as a peer: what one writes by hand, with the matrix products of its BLAS."""

from __future__ import annotations

import numpy as np
from base import MatmulPeer, Peer, PredictPeer, TrainPeer, blas
from nets import ACTIVATIONS, NumpyNet


class Library(Peer):
    """Names the BLAS; its threads are set by the environment of the worker."""

    title = "NumPy"

    def __init__(self, n_threads: int):
        self.version = np.__version__
        self.settings += f"; {blas()}"


class Train(Library, TrainPeer):
    """The step written by hand, into arrays that are made once."""

    settings = "hand-written step, out= everywhere"

    def build(self):
        self.model = NumpyNet(self.net, np.float32)

    def restart(self):
        self.model.restart(self.start)

    def step(self, x, y):
        return self.model.step(x, y)


class Predict(Library, PredictPeer):
    """The forward pass written by hand; only the outputs are a new array."""

    settings = "hand-written forward pass, hidden layers into arrays that are made once"

    def prepare(self, layers):
        act = ACTIVATIONS[self.net.activation]
        *hidden, (last_w, last_b) = layers
        rooms = [[np.empty((len(self.x), len(b)), np.float32) for _ in range(3)] for _, b in hidden]
        relu = self.net.activation == "relu"

        def predict(value):
            for (w, b), (z, y, d) in zip(hidden, rooms, strict=True):
                np.matmul(value, w, out=z)
                np.add(z, b, out=z)
                if relu:  # the step also needs the derivative; a prediction does not
                    value = np.maximum(z, 0, out=z)
                elif act is ACTIVATIONS["tanh"]:
                    value = np.tanh(z, out=z)
                else:
                    act(z, y, d)
                    value = y
            out = np.matmul(value, last_w)
            out += last_b
            return out

        return predict


class Matmul(Library, MatmulPeer):
    """numpy.matmul with out=."""

    settings = "numpy.matmul(a, b, out=)"

    def prepare(self, a, b, out):
        matmul = np.matmul
        return lambda: matmul(a, b, out=out)
