"""PyTorch as a peer, eager and compiled."""

from __future__ import annotations

import time

import numpy as np
from base import MatmulPeer, Peer, PredictPeer, TrainPeer, best_seconds
from nets import LR, MNIST, MOMENTUM

UPDATES = {"fused": {"fused": True}, "foreach": {"foreach": True}, "plain": {"foreach": False}}


class Library(Peer):
    """Imports the library and sets its threads."""

    title = "PyTorch eager"

    def __init__(self, n_threads: int):
        import torch

        self.torch, self.version = torch, torch.__version__
        torch.set_num_threads(n_threads)
        torch.set_num_interop_threads(1)
        torch.set_flush_denormal(True)

    def new_model(self, layers):
        """Return the net with these weights and biases as nn.Sequential."""
        nn = self.torch.nn
        act = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}[self.net.activation]
        modules = []
        for n, m in zip(self.net.sizes, self.net.sizes[1:], strict=False):
            modules += [nn.Linear(n, m), act()]
        model = nn.Sequential(*modules[:-1])
        self.fill(model, layers)
        return model

    def fill(self, model, layers) -> None:
        """Copy weights and biases into a model."""
        linear = [m for m in model if hasattr(m, "weight")]
        with self.torch.no_grad():
            for module, (w, b) in zip(linear, layers, strict=True):
                module.weight.copy_(self.torch.from_numpy(np.ascontiguousarray(w.T)))
                module.bias.copy_(self.torch.from_numpy(b))


class Train(Library, TrainPeer):
    """nn.Sequential, autograd, torch.optim.SGD; the fastest of its update loops."""

    settings = "nn.Sequential, preloaded tensors, flush_denormal, fastest update loop of SGD"

    def build(self):
        times = {}
        for name, update in UPDATES.items():
            self.use(update)
            times[name] = best_seconds(self.some_steps)
        self.choice = min(times, key=times.get)
        self.use(UPDATES[self.choice])
        self.next = 0

    def use(self, update: dict) -> None:
        """Make a model and its optimizer."""
        self.model = self.new_model(self.start)
        self.optimizer = self.torch.optim.SGD(self.model.parameters(), lr=LR, momentum=MOMENTUM, **update)

    def load(self, x, y):
        return super().load(self.torch.from_numpy(x), self.torch.from_numpy(y))

    def restart(self):
        self.fill(self.model, self.start)

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
            self.setup({"net": MNIST.name})
        self.use(UPDATES[self.choice])
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


class TrainCompiled(Library, TrainPeer):
    """torch.compile: the whole step as one graph, or forward and backward with the fused SGD."""

    title = "torch.compile"
    settings = "the faster of: one graph of loss, torch.func gradient and update; compiled loss and fused SGD"

    def build(self):
        self.torch._dynamo.reset()
        makers = {"one graph": self.one_graph, "compiled loss, fused SGD": self.compiled_loss}
        times, steps = {}, {}
        for name, make in makers.items():
            self.model = self.new_model(self.start)
            self.step, self.velocity = make(self.model)
            steps[name] = (self.model, self.step, self.velocity)
            times[name] = best_seconds(self.some_steps)
        self.choice = min(times, key=times.get)
        self.model, self.step, self.velocity = steps[self.choice]
        self.next = 0

    def load(self, x, y):
        return super().load(self.torch.from_numpy(x), self.torch.from_numpy(y))

    def restart(self):
        self.fill(self.model, self.start)
        for v in self.velocity():
            v.zero_()

    def one_graph(self, model):
        """Return the step as one compiled function that changes parameters and velocity in place.

        Tuples of tensors and a forward pass by hand: what is compiled then checks least before each call.
        """
        torch, functional = self.torch, self.torch.nn.functional
        act = {"relu": torch.relu, "tanh": torch.tanh, "gelu": functional.gelu}[self.net.activation]
        params = tuple(p.detach() for p in model.parameters())
        velocity = tuple(torch.zeros_like(p) for p in params)

        def loss_of(params, x, y):
            *hidden, weight, bias = params
            for i in range(0, len(hidden), 2):
                x = act(functional.linear(x, hidden[i], hidden[i + 1]))
            return functional.cross_entropy(functional.linear(x, weight, bias), y)

        def step(params, velocity, x, y):
            grads, loss = torch.func.grad_and_value(loss_of)(params, x, y)
            for p, v, g in zip(params, velocity, grads, strict=True):
                v.mul_(MOMENTUM).add_(g)
                p.sub_(v, alpha=LR)
            return loss

        compiled = torch.compile(step, fullgraph=True)

        def call(x, y):
            with torch.no_grad():
                return compiled(params, velocity, x, y)

        return call, lambda: velocity

    def compiled_loss(self, model):
        """Return a step of compiled loss and gradient, and the fused SGD."""
        torch = self.torch
        optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM, fused=True)
        loss_of = torch.compile(lambda x, y: torch.nn.functional.cross_entropy(model(x), y), fullgraph=True)

        def step(x, y):
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(x, y)
            loss.backward()
            optimizer.step()
            return loss.detach()

        return step, lambda: [s["momentum_buffer"] for s in optimizer.state.values()]


class Predict(Library, PredictPeer):
    """nn.Sequential in inference mode."""

    settings = "model(torch.from_numpy(x)).numpy() in inference_mode, flush_denormal"

    def prepare(self, layers):
        model, from_numpy = self.new_model(layers).eval(), self.torch.from_numpy
        return lambda x: model(from_numpy(x)).numpy()

    def setup(self, case):
        with self.torch.inference_mode():
            return super().setup(case)

    def advance(self, n):
        with self.torch.inference_mode():
            return super().advance(n)


class PredictCompiled(Predict):
    """torch.compile of the model, with and without packed weights."""

    title = "torch.compile"
    settings = "torch.compile(model.forward), weights packed (freezing) where faster, inference_mode"

    def prepare(self, layers):
        torch = self.torch
        torch._dynamo.reset()
        model, times, calls = self.new_model(layers).eval(), {}, {}
        for name, options in (("plain", {}), ("freezing", {"freezing": True})):
            compiled = torch.compile(model.forward, fullgraph=True, dynamic=False, options=options)
            self.call = calls[name] = lambda x, compiled=compiled: compiled(torch.from_numpy(x)).numpy()
            times[name] = best_seconds(self.some_calls)
        self.choice = min(times, key=times.get)
        return calls[self.choice]


class Matmul(Library, MatmulPeer):
    """torch.mm with out=."""

    title = "PyTorch"
    settings = "torch.mm(a, b, out=) in inference_mode"

    def prepare(self, a, b, out):
        mm = self.torch.mm
        a, b, out = (self.torch.from_numpy(array) for array in (a, b, out))
        return lambda: mm(a, b, out=out)

    def setup(self, case):
        with self.torch.inference_mode():
            return super().setup(case)

    def advance(self, n):
        with self.torch.inference_mode():
            return super().advance(n)
