"""From a list of layers to a program: the one place where the order of the ops is decided.

Row ops first (gather, forward, loss, gradients of activations), then all weight gradients, then the
update: a team meets twice per step, and more often where a wide layer's input gradient is cut by columns. A
prediction needs no meeting, unless it has so few rows that wide layers are cut by columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from minidl import activations
from minidl.engine.builder import Builder, Program, Value
from minidl.engine.params import Layout
from minidl.layers import Layer
from minidl.losses import Loss


@dataclass(frozen=True)
class Task:
    """What a program is for; two equal tasks can share a program.

    Attributes
    ----------
    purpose : str
        "train" (ends in an update), "gradients", "evaluate" or "predict".
    loss : Loss or None
    target_kind : str or None
        "label", "probability" or "real".
    weighted : bool
        Rows have sample weights.
    velocity : bool
        The update keeps a velocity.
    gather : bool
        Batches are picked from the data by an index list; else rows are read in place, in order.
    lr_factors : tuple of float
        Factor on the learning rate for each parameter, in order; empty: none.
    """

    purpose: str
    loss: Loss | None = None
    target_kind: str | None = None
    weighted: bool = False
    velocity: bool = False
    gather: bool = False
    lr_factors: tuple[float, ...] = ()


def parameter_shapes(layers: Sequence[Layer], n_inputs: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of every parameter of a network by name, in order."""
    shapes = {}
    for path, layer in enumerate(layers):
        for role, shape in layer.parameters(n_inputs).items():
            shapes[f"{path}.{role}"] = shape
        n_inputs = layer.n_outputs(n_inputs)
    return shapes


def output_width(layers: Sequence[Layer], n_inputs: int) -> int:
    """Return the width of the output of a network for an input of that width."""
    for layer in layers:
        n_inputs = layer.n_outputs(n_inputs)
    return n_inputs


def lower(layers: Sequence[Layer], n_inputs: int, layout: Layout, task: Task, batch: int) -> Program:
    """Write the program of a task.

    Parameters
    ----------
    layers : sequence of Layer
    n_inputs : int
        Width of the input.
    layout : Layout
        Of the flat parameter vector; its dtype is that of the program.
    task : Task
    batch : int
        Most rows of one step.

    Returns
    -------
    Program
    """
    builder = Builder(task.purpose, batch, layout.dtype, layout)
    n_outputs = output_width(layers, n_inputs)

    def lend(name: str, cols: int, dtype=None):
        """A buffer of the caller, or the batch gathered from it."""
        source = builder.bound(name, cols, dtype)
        if not task.gather:
            return source
        rows = builder.work(f"{name} rows", cols, dtype)
        builder.emit("GATHER", "data", source=source, y=rows)
        return rows

    value = Value(lend("x", n_inputs), needs_gradient=False)
    output = builder.bound("output", n_outputs) if task.purpose == "predict" else None
    # where the output function of the last layer is the loss's own, the loss works on what goes in
    last = layers[-1].activation
    fuse = task.loss is not None and last is not None and last.name == task.loss.link
    backwards = []
    for path, layer in enumerate(layers):
        is_last = layer is layers[-1] and path == len(layers) - 1
        value, backward = layer.lower(
            builder,
            value,
            str(path),
            activation=activations.get("identity") if fuse and is_last else None,
            out=output if is_last else None,
        )
        backwards.append(backward)

    if task.loss is not None:
        gradient = _loss(builder, task, value, n_outputs, lend)
        if builder.training:
            for backward in reversed(backwards):
                if gradient is not None:
                    gradient = backward(gradient)
            if updates_at_once(task, layout, batch):
                builder.guard()
            builder.flush()
    if task.purpose == "train":
        for start, stop, factor in _updates(layout, task.lr_factors):
            builder.emit(
                "SGD",
                "optimizer",
                {} if factor is None else {"lr_factor": factor},
                grads=builder.flat("grad", start, stop),
                velocity=builder.flat("state", start, stop) if task.velocity else None,
                params=builder.flat("param", start, stop),
            )
    return builder.program


def _updates(layout: Layout, factors: tuple[float, ...]) -> list[tuple[int, int, float | None]]:
    """Return the ranges of the flat vectors that are updated at once: neighbours of equal factor."""
    if not factors:
        return [(0, layout.size, None)]
    runs = []
    for start, factor in zip(layout.offsets.values(), factors, strict=True):
        if not runs or runs[-1][1] != factor:
            runs.append((start, factor))
    stops = [start for start, _ in runs[1:]] + [layout.size]
    return [(start, stop, factor) for (start, factor), stop in zip(runs, stops, strict=True)]


# Bytes of a flat vector from which blocks of gradients are worth updating one by one: shorter vectors are in
# the L2 cache anyway.
LARGE_VECTOR = 256 * 1024
# Bytes of the widest dz up to which it stays in L2 (of 2 MB): every block of gradients reads all of it.
LARGE_DZ = 512 * 1024
# Rows times (fan_in + fan_out) that may be searched for their largest number, for each weight.
SEARCH_SHARE = 1.0


def updates_at_once(task: Task, layout: Layout, batch: int) -> bool:
    """True if the update of each block of weights should follow its gradient, while both are in cache.

    It spares reading the gradients again; but first the activations must be searched for their largest
    number, to be sure that no gradient overflows. That is little work beside many weights and few rows.
    And each block reads all of dz, which should be near.
    """
    if task.purpose != "train" or task.lr_factors:  # an update at once knows one learning rate only
        return False
    weights = [shape for shape in layout.shapes.values() if len(shape) == 2]
    searched = sum(batch * (fan_in + fan_out) for fan_in, fan_out in weights)
    count = sum(fan_in * fan_out for fan_in, fan_out in weights)
    widest = max((fan_out for _, fan_out in weights), default=0)
    size = layout.dtype.itemsize
    return (
        count * size >= LARGE_VECTOR
        and batch * widest * size <= LARGE_DZ
        and searched <= SEARCH_SHARE * count
    )


def _loss(builder: Builder, task: Task, value: Value, n_outputs: int, lend):
    """Write the loss, and return the gradient of the last pre-activation if training."""
    is_label = task.target_kind == "label"
    target = lend("target", 1 if is_label else n_outputs, "int64" if is_label else None)
    weight = lend("weight", 1) if task.weighted else None
    dy = builder.work("dy", n_outputs) if builder.training else None
    builder.emit(
        "LOSS",
        "loss",
        {
            "loss": task.loss.kernel_names[task.target_kind],
            "params": task.loss.params,
            "function": task.loss,
        },
        z=value.buffer,
        target=target,
        weight=weight,
        dz=dy,
        row_loss=builder.work("row loss", 1, "float64"),
        row_hit=builder.work("row hit", 1, "float64"),
    )
    if dy is None or value.activation is None:
        return dy
    if value.activation.name == "softmax":
        builder.emit("SOFTMAX_GRAD", "loss", dy=dy, y=value.buffer, dz=dy)
    else:
        attributes = {"activation": value.activation}
        builder.emit("ACTIVATION_GRAD", "loss", attributes, dy=dy, saved=value.saved, dz=dy)
    return dy
