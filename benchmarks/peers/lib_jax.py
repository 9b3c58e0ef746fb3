"""JAX as a peer."""

from __future__ import annotations

from functools import partial

import numpy as np
from base import Peer, PredictPeer, TrainPeer
from nets import LR, MOMENTUM


class Library(Peer):
    """Imports the library; its threads: XLA_FLAGS, NPROC and the CPUs of the process."""

    def __init__(self, n_threads: int):
        import jax

        jax.config.update("jax_cpu_enable_async_dispatch", False)
        self.jax, self.version = jax, jax.__version__
        self.acts = {"relu": jax.nn.relu, "tanh": jax.numpy.tanh,
                     "gelu": partial(jax.nn.gelu, approximate=False)}  # fmt: skip

    def forward(self, params, x):
        """Return the outputs of the net."""
        act = self.acts[self.net.activation]
        for w, b in params[:-1]:
            x = act(x @ w + b)
        w, b = params[-1]
        return x @ w + b


class Jit(Library, TrainPeer):
    """One jitted function per step, arrays donated."""

    title = "JAX jit"
    settings = "jit per step, donated arrays, synchronous dispatch (faster on small nets)"

    def update(self, state, batch):
        """Make one step of SGD on a batch."""
        jax, jnp = self.jax, self.jax.numpy
        x, y = batch

        def loss_of(params):
            log_p = jax.nn.log_softmax(self.forward(params, x))
            return -jnp.take_along_axis(log_p, y[:, None], axis=1).mean()

        params, velocity = state
        loss, grads = jax.value_and_grad(loss_of)(params)
        velocity = jax.tree.map(lambda v, g: MOMENTUM * v + g, velocity, grads)
        params = jax.tree.map(lambda w, v: w - LR * v, params, velocity)
        return (params, velocity), loss

    def build(self):
        self.compiled = self.jax.jit(self.update, donate_argnums=0)

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


class Scan(Jit):
    """One jitted call per pass over the data: lax.scan over the batches."""

    title = "JAX scan"
    settings = "jit of lax.scan over all batches, donated arrays"

    def build(self):
        self.compiled = self.jax.jit(partial(self.jax.lax.scan, self.update), donate_argnums=0)

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


class Predict(Library, PredictPeer):
    """One jitted function with the parameters as constants."""

    title = "JAX jit"
    settings = "numpy.asarray(jit(forward)(x)), parameters compiled in, synchronous dispatch"

    def prepare(self, layers):
        params = self.jax.tree.map(self.jax.numpy.array, layers)
        compiled = self.jax.jit(lambda x: self.forward(params, x))
        return lambda x: np.asarray(compiled(x))
