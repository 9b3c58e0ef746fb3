"""Training and prediction of the nine nets that are also compared with other libraries."""

from __future__ import annotations

from .common import NET_NAMES, NETS, THREADS, choose, clock, make_net, use_threads


class Training:
    """Seconds of one training step, called for by itself, and of an epoch of 16 MiB of rows."""

    params = (NET_NAMES, THREADS)
    param_names = ("net", "threads")
    timeout = 300
    timer = staticmethod(clock)
    version = "1"

    def setup(self, name, n_threads):
        use_threads(n_threads)
        self.net, self.optimizer = make_net(name)
        self.X, self.y = NETS[name].data
        self.batch = NETS[name].batch
        self.first = self.X[: self.batch], self.y[: self.batch]
        self.time_step(name, n_threads)

    def time_step(self, name, n_threads):
        self.net.train_step(*self.first, optimizer=self.optimizer, n_threads=n_threads)

    def time_epoch(self, name, n_threads):
        self.net.fit(
            self.X,
            self.y,
            optimizer=self.optimizer,
            batch_size=self.batch,
            verbose=0,
            check_finite=False,
            n_threads=n_threads,
        )


class Prediction:
    """Seconds of a call of predict."""

    params = (NET_NAMES, choose((1, 32), (1, 32, 1024), (1, 32, 1024)), THREADS)
    param_names = ("net", "rows", "threads")
    timeout = 300
    timer = staticmethod(clock)
    version = "1"

    def setup(self, name, rows, n_threads):
        use_threads(n_threads)
        import minidl

        minidl.set_num_threads(n_threads)
        self.net, _ = make_net(name)
        self.X = NETS[name].rows(rows)
        self.net.predict(self.X)

    def time_predict(self, name, rows, n_threads):
        self.net.predict(self.X)
