"""Random training steps, which the executor and the reference interpreter can both be given."""

from dataclasses import dataclass, replace

import numpy as np
from minidl.engine.program import BoundProgram

from minidl import SGD, Activation, Dense, Sequential, activations, losses
from minidl.engine.params import ParamStore
from minidl.engine.reference import Reference
from minidl.lowering import Task, lower

HIDDEN = activations.names()
OUTPUTS = ("identity", "softmax", "sigmoid", "tanh")
LOSSES = (
    (losses.CrossEntropy(), "label"),
    (losses.CrossEntropy(label_smoothing=0.1), "label"),
    (losses.CrossEntropy(label_smoothing=0.2), "probability"),
    (losses.BinaryCrossEntropy(), "real"),
    (losses.MSE(), "real"),
    (losses.MAE(), "real"),
    (losses.Huber(delta=0.3), "real"),
)
WIDTHS = (2, 3, 5, 8, 16, 17, 33)
UPDATES = (
    SGD(lr=0.1),
    SGD(lr=0.1, momentum=0.9, dampening=0.2, weight_decay=0.01),
    SGD(lr=0.1, momentum=0.9, nesterov=True),
)


@dataclass
class Step:
    """One training step on a network of random layers: what both engines are given."""

    program: object
    params: ParamStore
    velocity: ParamStore | None
    lent: dict
    index: np.ndarray | None
    sgd: SGD
    rows: int
    first_update: bool

    def run(self, poison=None, ops=None):
        """Run the executor, or its first `ops` ops, on copies; return the bound program and results."""
        layout = self.program.layout
        program = replace(self.program, ops=self.program.ops[:ops])
        params, grads = ParamStore(layout), ParamStore(layout)
        params.flat[...] = self.params.flat
        velocity = None
        if self.velocity is not None:
            velocity = ParamStore(layout)
            velocity.flat[...] = self.velocity.flat
        bound = BoundProgram(program, params.flat, grads.flat, None if velocity is None else velocity.flat)
        if poison is not None:
            bound.arenas["work"].fill(poison)
        bound.lend(self.lent)
        results = np.full((3, 1), np.nan)
        done, _ = bound.run(
            self.rows,
            0,
            1,
            results,
            index=self.index,
            lr=np.array([self.sgd.lr]),
            sgd=self.sgd,
            no_velocity_yet=self.first_update,
            n_threads=1,
        )
        assert done == 1
        return bound, results[:, 0]

    def reference(self):
        """Run the reference interpreter on the same inputs; return it and the loss."""
        velocity = None if self.velocity is None else self.velocity.flat
        reference = Reference(self.program, self.params.flat, None, velocity)
        index = slice(None) if self.index is None else self.index[: self.rows]
        lent = self.lent
        if self.index is None:
            lent = {name: array[: self.rows] for name, array in lent.items()}
        loss = reference.step(lent, index, self.sgd.lr, self.sgd, self.first_update)
        return reference, loss


def targets(rng, loss, kind, rows, n_outputs, dtype):
    if kind == "label":
        return rng.integers(0, n_outputs, rows)
    if kind == "probability":
        return rng.dirichlet(np.ones(n_outputs), rows).astype(dtype)
    if loss.name == "binary_cross_entropy":
        return rng.choice([0.0, 1.0, 0.25], (rows, n_outputs)).astype(dtype)
    return rng.normal(size=(rows, n_outputs)).astype(dtype)


def random_layers(rng, count):
    """Return dense layers with and without bias and activation, some with an activation layer after."""
    layers = []
    for _ in range(count):
        width, use_bias = int(rng.choice(WIDTHS)), bool(rng.random() < 0.8)
        if rng.random() < 0.3:
            layers += [Dense(width, use_bias=use_bias), Activation(str(rng.choice(HIDDEN)))]
        else:
            layers.append(Dense(width, str(rng.choice(HIDDEN)), use_bias=use_bias))
    return layers


def fill(rng, params):
    for name, view in params.items():
        scale = 1 / np.sqrt(len(view)) if name.endswith("weight") else 0.2
        view[...] = rng.normal(size=view.shape) * scale


def random_step(seed, dtype, rows, weighted, gather, extra_rows=0):
    """Draw a training step with `rows` rows from a program for `rows + extra_rows`."""
    rng = np.random.default_rng(seed)
    loss, kind = LOSSES[seed % len(LOSSES)]
    n_inputs, n_outputs = int(rng.choice(WIDTHS)), int(rng.choice((2, 3, 10, 17)))
    layers = random_layers(rng, int(rng.integers(0, 3)))
    if rng.random() < 0.2:
        layers.insert(0, Activation(str(rng.choice(HIDDEN))))
    layers.append(Dense(n_outputs, str(rng.choice(OUTPUTS))))
    net = Sequential(layers, n_inputs=n_inputs, seed=seed, dtype=dtype)
    fill(rng, net.params)
    sgd = UPDATES[seed % len(UPDATES)]
    velocity = None
    if sgd.needs_velocity:
        velocity = ParamStore(net.params.layout)
        fill(rng, velocity)
    source = rows + 5 if gather else rows
    lent = {
        "x": rng.normal(size=(source, n_inputs)).astype(dtype),
        "target": targets(rng, loss, kind, source, n_outputs, dtype),
    }
    if weighted:
        lent["weight"] = rng.choice([0.0, 0.5, 1.0, 2.0], source, p=[0.1, 0.3, 0.3, 0.3]).astype(dtype)
        lent["weight"][rng.integers(source)] = 1.5
    index = rng.permutation(source)[:rows].astype(np.int64) if gather else None
    if weighted and gather:
        lent["weight"][index[0]] = 1.5
    task = Task("train", loss, kind, weighted, velocity is not None, gather)
    program = lower(layers, n_inputs, net.params.layout, task, rows + extra_rows)
    return Step(program, net.params, velocity, lent, index, sgd, rows, bool(seed % 4 == 0))


def value(bound, buffer, rows):
    view = bound.view(buffer.name)
    return view[:rows] if buffer.rows is None else view
