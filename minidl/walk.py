"""The walk through a network, layer by layer, for those who look at its layers or change them on the way."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minidl import initialization
from minidl.errors import OptionError
from minidl.init import LayerSpec
from minidl.kernels import activation, matmul, softmax
from minidl.layers import Activation, Dense


def walk(net, x: np.ndarray) -> Iterator[tuple[LayerSpec, np.ndarray]]:
    """Stop before each layer that has a weight; see :meth:`minidl.Sequential.walk`.

    Examples
    --------
    >>> net = minidl.MLP([4, 8, 3], seed=0)
    >>> [(spec.path, x.shape) for spec, x in walk(net, np.ones((5, 4), np.float32))]
    [('0', (5, 4)), ('1', (5, 8))]
    """
    chosen = initialization.choices(net.layers, net.init, net.n_inputs)
    specs = {spec.path: spec for spec, _ in chosen}
    for position, layer in enumerate(net.layers):
        path = str(position)
        if type(layer) not in (Dense, Activation):
            raise OptionError(f"layer {path}: a walk knows Dense and Activation, not {layer!r}.")
        if path in specs:
            yield specs[path], x
            x = preactivation(net, path, x)
        apply = layer.activation
        x = softmax(x) if apply.name == "softmax" else activation(apply, x)


def preactivation(net, path: str, x: np.ndarray) -> np.ndarray:
    """Return x W + b of a layer.

    Examples
    --------
    >>> net = minidl.MLP([2, 3], init="ones", seed=0)
    >>> preactivation(net, "0", np.ones((1, 2), np.float32))
    array([[2., 2., 2.]], dtype=float32)
    """
    return matmul(x, net.params[f"{path}.weight"], bias=net.params.get(f"{path}.bias"))
