"""Networks in files: the safetensors layout, with everything else as JSON in its metadata.

Tensors: the parameters by name, and "velocity:<name>" for the state of the optimizer. Metadata: one
entry "minidl" that holds JSON text. Nothing in a file is ever executed.
"""

from __future__ import annotations

import json

import numpy as np

from minidl import init, layers, losses, optim
from minidl.engine.params import ParamStore
from minidl.errors import FileFormatError, MinidlError
from minidl.io import read_safetensors, write_safetensors
from minidl.training import TrainingState
from minidl.version import __version__

SCHEMA = 1
VELOCITY = "velocity:"


def save(net, path) -> None:
    """Write a network to a file; see :meth:`minidl.Sequential.save`."""
    state = net.training
    tensors = {name: np.ascontiguousarray(value) for name, value in net.params.items()}
    if state.velocity is not None:
        for name, value in state.velocity.items():
            tensors[VELOCITY + name] = np.ascontiguousarray(value)
    described = {
        "schema": SCHEMA,
        "version": __version__,
        "layers": [layer.to_dict() for layer in net.layers],
        "n_inputs": net.n_inputs,
        "dtype": net.dtype,
        "seed": net.seed,
        "init": net.init.to_dict(),
        "init_plan": str(net.init_plan()),
        "init_pending": net.pending_init is not None,
        "training": {
            "steps": state.steps,
            "epochs": state.epochs,
            "velocity_steps": state.velocity_steps,
            "loss": None if state.loss is None else state.loss.to_dict(),
            "optimizer": None if state.optimizer is None else state.optimizer.to_dict(),
        },
    }
    write_safetensors(path, tensors, {"minidl": json.dumps(described)})


def load(path):
    """Read a network that ``net.save`` wrote.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    Sequential
        With the same parameters, seed and optimizer state: training goes on exactly.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FileFormatError
        If the file is cut or damaged, is no minidl file, or was written by a later version.

    Examples
    --------
    >>> import minidl, os, tempfile
    >>> net = minidl.MLP([4, 3], seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     net.save(os.path.join(folder, "net.safetensors"))
    ...     again = minidl.load(os.path.join(folder, "net.safetensors"))
    >>> bool((again.params.flat == net.params.flat).all())
    True
    """
    from minidl.model import Sequential

    tensors, entries = read_safetensors(path)
    if "minidl" not in entries:
        raise FileFormatError(f"{path}: a safetensors file, but not one that minidl wrote.")
    try:
        described = json.loads(entries["minidl"])
        schema = described["schema"]
    except (ValueError, TypeError, KeyError) as error:
        raise FileFormatError(f"{path}: the description of the network is damaged ({error}).") from None
    if schema != SCHEMA:
        raise FileFormatError(
            f"{path}: written in schema {schema!r}, this version reads {SCHEMA}. Upgrade minidl."
        )
    try:
        net = Sequential(
            [layers.from_dict(layer) for layer in described["layers"]],
            init=init.from_dict(described["init"]),
            seed=described["seed"],
            dtype=described["dtype"],
        )
        # every parameter comes from the file: nothing needs to be drawn
        net.init, chosen = init.Zeros(), net.init
        net.build(described["n_inputs"])
        net.init = chosen
        if not described.get("init_pending", False):
            net.pending_init = None
        net.training = _training_state(described["training"], net, tensors)
    except MinidlError as error:
        raise FileFormatError(f"{path}: {error}") from None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise FileFormatError(
            f"{path}: the description of the network is incomplete ({type(error).__name__}: {error})."
        ) from None
    _fill(path, net.params, tensors, "")
    if net.training.velocity is not None:
        _fill(path, net.training.velocity, tensors, VELOCITY)
    return net


def _training_state(record: dict, net, tensors: dict) -> TrainingState:
    return TrainingState(
        loss=None if record["loss"] is None else losses.from_dict(record["loss"]),
        optimizer=None if record["optimizer"] is None else optim.SGD.from_dict(record["optimizer"]),
        steps=int(record["steps"]),
        epochs=int(record["epochs"]),
        velocity=ParamStore(net.params.layout) if any(n.startswith(VELOCITY) for n in tensors) else None,
        velocity_steps=int(record["velocity_steps"]),
    )


def _fill(path, store: ParamStore, tensors: dict, prefix: str) -> None:
    """Copy tensors into the views of a store, checking names, shapes and dtype."""
    expected = {prefix + name for name in store}
    found = {name for name in tensors if name.startswith(VELOCITY) == bool(prefix)}
    if expected != found:
        raise FileFormatError(f"{path}: expected the tensors {sorted(expected)}, found {sorted(found)}.")
    for name, view in store.items():
        tensor = tensors[prefix + name]
        if tensor.shape != view.shape or tensor.dtype != view.dtype:
            raise FileFormatError(
                f"{path}: {prefix + name}: expected shape {view.shape} of {view.dtype}, "
                f"found {tensor.shape} of {tensor.dtype}."
            )
    for name in store:
        store[name] = tensors[prefix + name]
