"""Memory: what a process needs at most, and what a training step of a net needs by design."""

from __future__ import annotations

import numpy as np

from .common import NET_NAMES, NETS, make_net


class Peak:
    """Most memory of a process that makes a net, has an epoch of rows, and trains or predicts.

    NumPy, the 16 MiB of rows and asv are part of it: compare with ``baseline``, which has all but the net.
    """

    params = (NET_NAMES,)
    param_names = ("net",)
    timeout = 300
    version = "1"

    def setup(self, name):
        self.X, self.y = NETS[name].data

    def peakmem_baseline(self, name):
        return self.X, self.y

    def peakmem_train(self, name):
        net, optimizer = make_net(name)
        batch = NETS[name].batch
        net.fit(self.X, self.y, optimizer=optimizer, batch_size=batch, verbose=0, n_threads=1)

    def peakmem_predict(self, name):
        net, _ = make_net(name)
        net.predict(self.X, n_threads=1)


class Program:
    """Bytes of a training step: of one flat vector, of which there are three, and of its activations."""

    params = (NET_NAMES,)
    param_names = ("net",)
    version = "1"

    def setup(self, name):
        self.net, optimizer = make_net(name)
        X, y = NETS[name].data
        batch = NETS[name].batch
        self.net.train_step(X[:batch], y[:batch], optimizer=optimizer, n_threads=1)

    def track_parameter_bytes(self, name):
        return self.net.params.flat.nbytes

    def track_work_bytes(self, name):
        return self.net.program.work_size * np.dtype(self.net.dtype).itemsize

    track_parameter_bytes.unit = track_work_bytes.unit = "bytes"
