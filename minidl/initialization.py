"""What initializes the layers of a network: who fills which, whether they can, and the filling."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from minidl.engine.params import ParamStore
from minidl.errors import OptionError
from minidl.init import Initializer, LayerSpec
from minidl.layers import Layer
from minidl.options import non_negative

Choices = list[tuple[LayerSpec, Initializer]]


def choices(layers: Sequence[Layer], default: Initializer, n_inputs: int) -> Choices:
    """Return the description and the initializer of every layer that has a weight.

    Examples
    --------
    >>> from minidl import init
    >>> layers = [minidl.Dense(8, "relu"), minidl.Dense(3, init="zeros")]
    >>> for spec, initializer in choices(layers, init.He(), n_inputs=4):
    ...     print(spec.path, spec.shape, spec.role, spec.activation, initializer)
    0 (4, 8) input relu He()
    1 (8, 3) output identity Zeros()
    """
    found = []
    paths = [path for path, layer in enumerate(layers) if layer.parameters(1)]
    width = n_inputs
    for path, layer in enumerate(layers):
        shapes = layer.parameters(width)
        width = layer.n_outputs(width)
        if "weight" not in shapes:
            continue
        index = paths.index(path)
        role = "output" if path == paths[-1] else "input" if index == 0 else "hidden"
        before = "identity" if index == 0 else str(_activation_after(layers, paths[index - 1]))
        spec = LayerSpec(
            path=str(path),
            shape=shapes["weight"],
            use_bias="bias" in shapes,
            activation=str(_activation_after(layers, path)),
            input_activation=before,
            role=role,
            index=index,
            depth=len(paths),
        )
        found.append((spec, layer.init or default))
    return found


def _activation_after(layers: Sequence[Layer], path: int) -> object:
    """Return the activation that the output of a layer goes through: its own or the next layer's."""
    own = layers[path].activation
    following = layers[path + 1 : path + 2]
    if own.name == "identity" and following and not following[0].parameters(1):
        return following[0].activation
    return own


def check_layers(layers: Sequence[Layer]) -> None:
    """Raise OptionError if the initializer of a single layer is one for whole networks.

    Examples
    --------
    >>> check_layers([minidl.Dense(3, init="lsuv")])
    Traceback (most recent call last):
        ...
    minidl.errors.OptionError: layers[0]: init=LSUV() goes through a whole network with data...
    """
    for path, layer in enumerate(layers):
        own = getattr(layer, "init", None)
        if own is not None and own.needs_data:
            raise OptionError(
                f"layers[{path}]: init={own!r} goes through a whole network with data. Give it to the "
                "network: Sequential([...], init=...)."
            )


def check(chosen: Choices) -> None:
    """Raise if an initializer cannot serve its layers, before any of them is filled.

    Examples
    --------
    >>> from minidl import init
    >>> check([(init.LayerSpec("0", (3, 3)), init.Mirrored(inputs=False, outputs=True))])
    Traceback (most recent call last):
        ...
    minidl.errors.ShapeError: layer '0': Mirrored needs an even number of outputs, got 3...
    """
    served: dict[int, tuple[Initializer, list[LayerSpec]]] = {}
    for spec, initializer in chosen:
        resolved = initializer.start.resolve(spec)[0]
        if resolved.needs_data:
            raise OptionError(
                f"layer {spec.path}: {resolved!r} goes through a whole network with data and cannot be the "
                "choice for one layer. Give it to the network, with the other initializers as its base."
            )
        served.setdefault(id(initializer), (initializer, []))[1].append(spec)
    for initializer, specs in served.values():
        initializer.check_network(specs)


def fill(params: ParamStore, chosen: Choices, seed: int) -> None:
    """Fill all parameters from a seed, as far as that is possible without data.

    Examples
    --------
    >>> from minidl import init
    >>> net = minidl.MLP([4, 3], seed=0)
    >>> fill(net.params, [(init.LayerSpec("0", (4, 3)), init.Ones())], seed=1)
    >>> net.params["0.weight"][0], net.params["0.bias"]
    (array([1., 1., 1.], dtype=float32), array([0., 0., 0.], dtype=float32))
    """
    for spec, initializer in chosen:
        weight, bias = params[f"{spec.path}.weight"], params.get(f"{spec.path}.bias")
        initializer.start.init_layer(spec, seed, weight, bias)


def lr_multipliers(names: Iterable[str], chosen: Choices) -> dict[str, float]:
    """Return the factors on the learning rate that the initializers require, for each parameter.

    Examples
    --------
    >>> from minidl import init
    >>> spec = init.LayerSpec("0", (50, 10))
    >>> lr_multipliers(["0.weight", "0.bias"], [(spec, init.NTK(sigma_w=1.0, sigma_b=0.5))])
    {'0.weight': 0.02, '0.bias': 0.25}
    """
    factors = dict.fromkeys(names, 1.0)
    for spec, initializer in chosen:
        for role, factor in initializer.start.lr_multipliers(spec).items():
            name = f"{spec.path}.{role}"
            if name in factors:  # a layer may have no bias
                factors[name] = non_negative(f"lr_multipliers of {name}", factor)
    return factors
