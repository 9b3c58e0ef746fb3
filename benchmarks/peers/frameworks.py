"""One class per peer: how each library does the same training step, at its best settings.

A peer has ``setup(net)``, ``losses()`` (of the checked steps, from the start weights), ``restart()`` (back
to the start weights) and ``advance(n)``, which makes about n steps without reading their losses and
returns how many. An import that fails, and a net that a library cannot express, are reported by name.
"""

from __future__ import annotations

import time
from functools import partial

import numpy as np
from nets import LR, MNIST, MOMENTUM, Net, NumpyNet


class UnsupportedError(Exception):
    """A library cannot express this net."""


class Peer:
    """Base class: batches of the data of a net, and a loop over steps.

    Attributes
    ----------
    title, settings : str
        Name for the tables, and how the library is used.
    choice : str
        What setup() found to be fastest for this net, where there is a choice.
    """

    title = ""
    settings = ""
    choice = ""

    def setup(self, net: Net) -> None:
        """Make the network and load the data."""
        self.net = net
        self.start = net.start()
        self.next = 0
        self.batches = self.load(*net.data)

    def load(self, x: np.ndarray, y: np.ndarray) -> list:
        """Cut the data into batches, in the form that the library takes."""
        b = self.net.batch
        return [(x[i : i + b], y[i : i + b]) for i in range(0, len(x), b)]

    def advance(self, n: int) -> int:
        """Make n steps on the next batches."""
        for _ in range(n):
            self.step(*self.batches[self.next])
            self.next = (self.next + 1) % len(self.batches)
        return n

    def losses(self) -> list[float]:
        """Return the losses of the checked steps, from the start."""
        return [float(self.step(*batch)) for batch in self.load(*self.net.checked_data)]

    def step(self, x, y):
        """Make one update and return the loss before it."""
        raise NotImplementedError

    def restart(self) -> None:
        """Go back to the start weights."""


# --- minidl ---------------------------------------------------------------------------------------


class MinidlPerCall(Peer):
    """net.train_step once per batch: what a loop of one's own costs."""

    title = "minidl per call"
    settings = "train_step(x, y) per batch, default checks"

    def __init__(self, n_threads: int):
        import minidl

        self.minidl, self.version = minidl, minidl.__version__
        minidl.set_num_threads(n_threads)
        self.optimizer = minidl.SGD(lr=LR, momentum=MOMENTUM)
        self.settings += f", {minidl.kernels.isa()}"
        self.sgemm = lambda a, b, out: minidl.kernels.matmul(a, b, out=out)

    def new_net(self):
        """Return a network with the start weights."""
        net = self.minidl.MLP(self.net.sizes, self.net.activation, seed=0)
        for i, (w, b) in enumerate(self.start):
            net.params[f"{i}.weight"][...] = w
            net.params[f"{i}.bias"][...] = b
        return net

    def setup(self, net):
        super().setup(net)
        self.model = self.new_net()
        self.start_flat = self.model.params.flat.copy()

    def restart(self):
        self.model.params.flat[...] = self.start_flat

    def step(self, x, y):
        return self.model.train_step(x, y, loss="cross_entropy", optimizer=self.optimizer)


class Minidl(MinidlPerCall):
    """One call of net.fit over all steps of a sample."""

    title = "minidl"
    settings = "one fit call per sample, rows in order, gathered by index"

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
        whole = self.new_net()
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
        self.net, self.start = MNIST, MNIST.start()
        model = self.new_net()
        started = time.perf_counter()
        history = model.fit(x, y, optimizer=self.optimizer, epochs=1, batch_size=self.net.batch, verbose=0)
        seconds = time.perf_counter() - started
        accuracy = model.evaluate(xt, yt)["accuracy"]
        return {"seconds": seconds, "loss": history["loss"][-1], "accuracy": accuracy}


# --- PyTorch --------------------------------------------------------------------------------------


class Torch(Peer):
    """nn.Sequential, autograd, torch.optim.SGD; the fastest of its update loops."""

    title = "PyTorch eager"
    settings = "nn.Sequential, preloaded tensors, flush_denormal, fastest update loop of SGD"
    updates = ({"fused": True}, {"foreach": True}, {"foreach": False})

    def __init__(self, n_threads: int):
        import torch

        self.torch, self.version = torch, torch.__version__
        torch.set_num_threads(n_threads)
        torch.set_num_interop_threads(1)
        torch.set_flush_denormal(True)

    def _new_net(self, update: dict) -> None:
        nn = self.torch.nn
        act = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}[self.net.activation]
        modules = []
        for n, m in zip(self.net.sizes, self.net.sizes[1:], strict=False):
            modules += [nn.Linear(n, m), act()]
        self.model = nn.Sequential(*modules[:-1])
        self.optimizer = self.torch.optim.SGD(self.model.parameters(), lr=LR, momentum=MOMENTUM, **update)
        self.restart()

    def setup(self, net):
        super().setup(net)
        steps = 20 if net.flops < 1e8 else 2
        seconds = []
        for update in self.updates:
            self._new_net(update)
            self.advance(steps)
            times = []
            for _ in range(5):
                started = time.perf_counter()
                self.advance(steps)
                times.append(time.perf_counter() - started)
            seconds.append(min(times))
        self.update = self.updates[int(np.argmin(seconds))]
        self.choice = ", ".join(f"{name}={value}" for name, value in self.update.items())
        self._new_net(self.update)
        self.next = 0

    def load(self, x, y):
        return super().load(self.torch.from_numpy(x), self.torch.from_numpy(y))

    def restart(self):
        linear = [m for m in self.model if hasattr(m, "weight")]
        with self.torch.no_grad():
            for module, (w, b) in zip(linear, self.start, strict=True):
                module.weight.copy_(self.torch.from_numpy(np.ascontiguousarray(w.T)))
                module.bias.copy_(self.torch.from_numpy(b))

    def step(self, x, y):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.torch.nn.functional.cross_entropy(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def epoch(self, x, y, xt, yt) -> dict:
        """Train one epoch on MNIST: data on tensors, batches by torch.randperm."""
        torch = self.torch
        if not self.choice:  # the first time, find the best update loop
            self.setup(MNIST)
        self._new_net(self.update)
        x, y, xt, yt = (torch.from_numpy(array) for array in (x, y, xt, yt))
        total = torch.zeros(())
        started = time.perf_counter()
        for rows in torch.randperm(len(x)).split(self.net.batch):
            total += self.step(x[rows], y[rows]) * len(rows)
        loss = float(total) / len(x)
        seconds = time.perf_counter() - started
        with torch.inference_mode():
            accuracy = float((self.model(xt).argmax(1) == yt).float().mean())
        return {"seconds": seconds, "loss": loss, "accuracy": accuracy}


# --- JAX ------------------------------------------------------------------------------------------


class Jax(Peer):
    """One jitted function per step, arrays donated."""

    title = "JAX jit"
    settings = "jit per step, donated arrays, synchronous dispatch (faster on small nets)"

    def __init__(self, n_threads: int):  # threads: XLA_FLAGS, NPROC and the CPUs of the process
        import jax

        jax.config.update("jax_cpu_enable_async_dispatch", False)
        self.jax, self.version = jax, jax.__version__
        self.act = {"relu": jax.nn.relu, "tanh": jax.numpy.tanh,
                    "gelu": partial(jax.nn.gelu, approximate=False)}  # fmt: skip

    def _update(self, state, batch):
        jax, jnp = self.jax, self.jax.numpy
        act = self.act[self.net.activation]
        x, y = batch

        def loss_of(params):
            value = x
            for w, b in params[:-1]:
                value = act(value @ w + b)
            w, b = params[-1]
            log_p = jax.nn.log_softmax(value @ w + b)
            return -jnp.take_along_axis(log_p, y[:, None], axis=1).mean()

        params, velocity = state
        loss, grads = jax.value_and_grad(loss_of)(params)
        velocity = jax.tree.map(lambda v, g: MOMENTUM * v + g, velocity, grads)
        params = jax.tree.map(lambda w, v: w - LR * v, params, velocity)
        return (params, velocity), loss

    def setup(self, net):
        super().setup(net)
        self.compiled = self.jax.jit(self._update, donate_argnums=0)
        self.restart()

    def load(self, x, y):
        put = self.jax.device_put
        return [(put(a), put(b.astype(np.int32))) for a, b in super().load(x, y)]

    def restart(self):
        params = self.jax.tree.map(self.jax.numpy.array, self.start)
        self.state = (params, self.jax.tree.map(self.jax.numpy.zeros_like, params))

    def step(self, x, y):
        self.state, loss = self.compiled(self.state, (x, y))
        return loss

    def advance(self, n):
        super().advance(n)
        self.jax.block_until_ready(self.state)
        return n


class JaxScan(Jax):
    """One jitted call per pass over the data: lax.scan over the batches."""

    title = "JAX scan"
    settings = "jit of lax.scan over all batches, donated arrays"

    def setup(self, net):
        Peer.setup(self, net)
        scan = partial(self.jax.lax.scan, self._update)
        self.compiled = self.jax.jit(scan, donate_argnums=0)
        self.restart()

    def load(self, x, y):
        shape = (-1, self.net.batch)
        put = self.jax.device_put
        return put(x.reshape(*shape, x.shape[1])), put(y.reshape(shape).astype(np.int32))

    def losses(self):
        self.state, losses = self.compiled(self.state, self.load(*self.net.checked_data))
        return np.asarray(losses).tolist()

    def advance(self, n):
        passes = -(-n // self.net.n_batches)
        for _ in range(passes):
            self.state, _ = self.compiled(self.state, self.batches)
        self.jax.block_until_ready(self.state)
        return passes * self.net.n_batches


# --- scikit-learn and NumPy -----------------------------------------------------------------------


class Sklearn(Peer):
    """MLPClassifier.partial_fit, one call per pass over the data."""

    title = "scikit-learn"
    settings = "MLPClassifier.partial_fit, one call over many batches, float32"

    def __init__(self, n_threads: int):
        import sklearn
        from sklearn.neural_network import MLPClassifier

        self.version, self.make = sklearn.__version__, MLPClassifier

    def setup(self, net):
        if net.activation not in ("relu", "tanh"):
            raise UnsupportedError(f"MLPClassifier has no {net.activation}")
        if net.sizes[-1] == 2:
            raise UnsupportedError("MLPClassifier gives two classes one logistic output, not a softmax")
        super().setup(net)
        self.model = self.make(
            net.sizes[1:-1], activation=net.activation, solver="sgd", alpha=0.0,
            batch_size=net.batch, learning_rate_init=LR, momentum=MOMENTUM,
            nesterovs_momentum=False, shuffle=False, tol=0.0, n_iter_no_change=10**9,
            random_state=0,
        )  # fmt: skip
        self.step(*self.batches[0])  # makes the arrays
        for velocity in self.model._optimizer.velocities:
            velocity[...] = 0
        self.restart()

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


class Numpy(Peer):
    """The step written by hand, into arrays that are made once."""

    title = "NumPy"
    settings = "hand-written step, out= everywhere"

    def __init__(self, n_threads: int):  # threads: OPENBLAS_NUM_THREADS and the like
        self.version = np.__version__
        self.sgemm = lambda a, b, out: np.matmul(a, b, out=out)

    def setup(self, net):
        super().setup(net)
        self.model = NumpyNet(net, np.float32)

    def restart(self):
        self.model.restart(self.start)

    def step(self, x, y):
        return self.model.step(x, y)


PEERS: dict[str, type[Peer]] = {
    "minidl": Minidl,
    "minidl_per_call": MinidlPerCall,
    "torch": Torch,
    "jax": Jax,
    "jax_scan": JaxScan,
    "sklearn": Sklearn,
    "numpy": Numpy,
}
