"""The initializers of minidl for the modules of PyTorch: same scheme, seed and path, same weights."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from minidl import activations
from minidl import init as initializers
from minidl.errors import DtypeError, MinidlError, OptionError, ShapeError, unknown_name
from minidl.init import Initializer, InitPlan, LayerSpec, Layout
from minidl.init.streams import as_stream

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["LeftAlone", "ModulePlan", "initialize", "layout"]

# The modules that are filled, and the axes of their weights.
_LAYOUTS = {
    "Linear": Layout("out_in"),
    "Conv1d": Layout("oil"),
    "Conv2d": Layout("oihw"),
    "Conv3d": Layout("oidhw"),
    "ConvTranspose1d": Layout("iol", transposed=True),
    "ConvTranspose2d": Layout("iohw", transposed=True),
    "ConvTranspose3d": Layout("iodhw", transposed=True),
}

# Modules without parameters that are one of our activations, and how their options become its parameters;
# None: with these options it is another function.
_ACTIVATIONS: dict[str, Callable[[nn.Module], str | None]] = {
    "CELU": lambda m: f"celu({m.alpha})",
    "ELU": lambda m: f"elu({m.alpha})",
    "GELU": lambda m: "gelu_tanh" if m.approximate == "tanh" else "gelu",
    "Hardsigmoid": lambda m: "hard_sigmoid",
    "Hardswish": lambda m: "hard_swish",
    "Hardtanh": lambda m: "hard_tanh" if (m.min_val, m.max_val) == (-1.0, 1.0) else None,
    "LeakyReLU": lambda m: f"leaky_relu({m.negative_slope})",
    "LogSigmoid": lambda m: "log_sigmoid",
    "LogSoftmax": lambda m: "softmax",
    "Mish": lambda m: "mish",
    "PReLU": lambda m: f"leaky_relu({abs(m.weight.detach().double().mean().item())})",
    "ReLU": lambda m: "relu",
    "ReLU6": lambda m: "relu6",
    "SELU": lambda m: "selu",
    "SiLU": lambda m: "silu",
    "Sigmoid": lambda m: "sigmoid",
    "Softmax": lambda m: "softmax",
    "Softplus": lambda m: "softplus" if m.beta == 1.0 else None,
    "Softsign": lambda m: "softsign",
    "Tanh": lambda m: "tanh",
}

# Modules between a layer and its activation that leave the activation what it is.
_PASSED = (
    "AdaptiveAvgPool",
    "AdaptiveMaxPool",
    "AlphaDropout",
    "AvgPool",
    "Dropout",
    "FeatureAlphaDropout",
    "Flatten",
    "Identity",
    "MaxPool",
    "Unflatten",
)
_NORMS = {
    "BatchNorm": "batch_norm",
    "SyncBatchNorm": "batch_norm",
    "InstanceNorm": "instance_norm",
    "LayerNorm": "layer_norm",
    "GroupNorm": "group_norm",
    "RMSNorm": "rms_norm",
}


@dataclass(frozen=True)
class LeftAlone:
    """A module with parameters that :func:`initialize` did not fill.

    Attributes
    ----------
    path, kind, reason : str
    """

    path: str
    kind: str
    reason: str


@dataclass(frozen=True)
class ModulePlan(InitPlan):
    """What filled each layer of a module, and which modules kept their parameters; prints as a table.

    Attributes
    ----------
    layers : tuple of LayerPlan
    left_alone : tuple of LeftAlone
    """

    left_alone: tuple[LeftAlone, ...] = ()

    def __str__(self) -> str:
        lines = [f"left alone: {m.path or '(the module)'}, {m.kind}: {m.reason}" for m in self.left_alone]
        return "\n".join([super().__str__(), *lines])


def layout(kind: str) -> Layout:
    """Return the layout of the weights of a class of ``torch.nn``.

    Raises
    ------
    OptionError
        It is none of those that are filled.

    Examples
    --------
    >>> layout("Conv2d").fans((64, 32, 3, 3))
    (288, 576)
    """
    if kind not in _LAYOUTS:
        raise unknown_name("kind", kind, _LAYOUTS)
    return _LAYOUTS[kind]


def initialize(
    module: nn.Module,
    init: object = "auto",
    *,
    seed: int | initializers.Stream = 0,
    activation: str | Mapping[str, str] | None = None,
    adjust: Callable[[LayerSpec], LayerSpec] | None = None,
) -> ModulePlan:
    """Fill the weights and biases of a PyTorch module in place.

    Filled are Linear, Conv1d to Conv3d and ConvTranspose1d to ConvTranspose3d, with the fans that they have
    (PyTorch's own functions take the groups of a convolution for outputs, and exchange the fans of a
    transposed one). Normalizations, embeddings, recurrent and attention weights keep their values; the
    plan lists them.

    A layer is described by what is known of it: path = its name in ``named_modules()``, position and role
    = its place among the layers in the order of registration, activation = what follows it in its
    ``nn.Sequential``. A :class:`minidl.Sequential` with the same paths, scheme and seed has the same
    weights, bit for bit (its transposes).

    Parameters
    ----------
    module : torch.nn.Module
        Parameters of float32 or float64, or of float16 or bfloat16, which get the values of float32,
        rounded. They may be on any device, and keep it, as well as ``requires_grad``.
    init : Initializer, str, ndarray or callable
        As for :func:`minidl.init.get`.
    seed : int or Stream
    activation : str or mapping, optional
        Where the module does not say it (layers that are called in a ``forward`` of your own), or says
        something else. A name holds for all layers but the last; a mapping goes from paths or patterns
        (``"blocks.*.fc1"``) to names, the first match counts.
    adjust : callable, optional
        Gets the description of a layer and returns a better one, ``dataclasses.replace(spec, ...)``: for
        residual branches, which a module does not declare. Path and axes must stay.

    Returns
    -------
    ModulePlan

    Raises
    ------
    OptionError
        A scheme looks at the activation and it is unknown; the scheme cannot serve a layer or needs data; a
        pattern fits no layer; a weight is computed by something that cannot be inverted, or has no memory.
    DtypeError
        A parameter is not real.
    ImportError
        PyTorch is not installed.

    Notes
    -----
    All or nothing: after an exception the module is as it was.

    A weight that several layers share is filled once, for the first of them. A parametrized weight
    (``torch.nn.utils.parametrizations.weight_norm``) is set through its parametrization. A value that
    overflows float16 is an error.

    Examples
    --------
    >>> from torch import nn  # doctest: +SKIP
    >>> net = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))  # doctest: +SKIP
    >>> print(initialize(net, "auto", seed=0))  # doctest: +SKIP
    layer  shape       activation  init     weight variance  predicted variance  why
    0      (256, 784)  relu        He()     0.002551         2                   relu keeps 0.5 of the ...
    2      (10, 256)   identity    LeCun()  0.003906         1                   output layer: unit ...
    """
    torch = _torch()
    initializer = initializers.get(init)
    if not isinstance(module, torch.nn.Module):
        raise OptionError(f"module={module!r}: expected a torch.nn.Module.")
    if initializer.needs_data:
        raise OptionError(
            f"init={initializer!r} needs data: it works on networks of minidl, in fit(net, X, y)."
        )
    seed = as_stream(seed)
    layers, left_alone = _find_layers(module)
    specs = [_adjusted(adjust, spec) for spec in _describe(module, layers, initializer, activation)]
    initializer.check_network(specs)
    writes = []
    for layer, spec in zip(layers, specs, strict=True):
        writes += _values(layer, spec, initializer, seed)
    _write(writes)
    plan = InitPlan.of([(spec, initializer) for spec in specs])
    return ModulePlan(plan.layers, tuple(left_alone))


def _torch():
    try:
        import torch
    except ImportError as error:
        raise ImportError("minidl.interop.torch needs PyTorch: pip install torch.") from error
    return torch


# --- what is in a module --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Found:
    """A layer of a module; `owner` is the path of the layer whose weight it shares, if it does."""

    path: str
    module: nn.Module
    owner: str | None


def _find_layers(module: nn.Module) -> tuple[list[_Found], list[LeftAlone]]:
    """Return the layers to be filled in the order of registration, and the other modules with parameters."""
    found, left_alone, owners = [], [], {}
    others = []
    for path, part in module.named_modules():
        if ".parametrizations" in f".{path}":  # part of the layer above it
            continue
        if _kind(part) is None:
            others.append((path, part))
            continue
        _check_weight(path, part)
        key = id(_weight_source(part))
        found.append(_Found(path, part, owners.get(key)))
        owners.setdefault(key, path)
    for path, part in others:
        if not any(True for _ in part.parameters(recurse=False)):
            continue
        shared = {owners[id(p)] for p in part.parameters(recurse=False) if id(p) in owners}
        reason = "no weight that connects inputs with outputs, or one of another kind"
        if shared:
            reason = f"shares its weight with {', '.join(sorted(shared))}"
        left_alone.append(LeftAlone(path, type(part).__name__, reason))
    if not found:
        raise OptionError(
            f"module={type(module).__name__}: has no layer to fill. Known: {', '.join(_LAYOUTS)}."
        )
    return found, left_alone


def _kind(part: nn.Module) -> str | None:
    """Return the class among those that are filled, also for a subclass."""
    nn = _torch().nn
    return next((kind for kind in _LAYOUTS if isinstance(part, getattr(nn, kind))), None)


def _weight_source(part: nn.Module) -> object:
    """Return the parameter that decides the weight; layers that share it have the same."""
    parametrized = getattr(part, "parametrizations", {})
    if "weight" in parametrized:
        return next(parametrized["weight"].parameters())
    return part.weight


def _check_weight(path: str, part: nn.Module) -> None:
    torch = _torch()
    where = f"layer {path!r} ({type(part).__name__})"
    parameters = list(part.parameters())
    if any(isinstance(p, torch.nn.parameter.UninitializedParameter) for p in parameters):
        raise OptionError(f"{where}: its shape is not known yet; pass a batch through the module first.")
    if any(p.is_meta for p in parameters):
        raise OptionError(
            f"{where}: is on the meta device, without memory; call module.to_empty(device=...)."
        )
    parametrized = getattr(part, "parametrizations", {})
    for name in ("weight", "bias"):
        value = _value(part, name)
        if value is None or isinstance(value, torch.nn.Parameter):
            continue
        if name not in parametrized:
            raise OptionError(
                f"{where}: its {name} is computed by a hook (the old weight_norm, spectral_norm, pruning). "
                "Remove it first, or use torch.nn.utils.parametrizations."
            )
        for step in parametrized[name]:
            if not hasattr(step, "right_inverse"):
                raise OptionError(
                    f"{where}: the parametrization {type(step).__name__} of its {name} has no right_inverse; "
                    "a value cannot be set through it. Initialize before parametrizing."
                )


# --- descriptions ---------------------------------------------------------------------------------


def _describe(
    module: nn.Module, layers: list[_Found], initializer: Initializer, given: object
) -> Iterator[LayerSpec]:
    """Yield the description of each layer."""
    paths = [layer.path for layer in layers]
    named = _given_activations(given, paths)
    following = dict(_following(module))
    names, norms = {}, {}
    for layer in layers:
        inferred, norms[layer.path] = following.get(id(layer.module), (None, None))
        names[layer.path] = named.get(layer.path, inferred)
    last = len(layers) - 1
    for index, layer in enumerate(layers):
        axes = _LAYOUTS[_kind(layer.module)]
        role = "output" if index == last else "input" if index == 0 else "hidden"
        name, before = names[layer.path], names[paths[index - 1]] if index else None
        spec = LayerSpec(
            path=layer.path,
            shape=tuple(_value(layer.module, "weight").shape),
            layout=axes.name,
            activation=name or "identity",
            input_activation=before or "identity",
            role=role,
            index=index,
            depth=len(layers),
            norm=norms[layer.path],
            groups=getattr(layer.module, "groups", 1),
            transposed=axes.transposed,
            use_bias=getattr(layer.module, "bias", None) is not None,
        )
        if name is None and role != "output" and _looks_at_activation(initializer, spec):
            raise OptionError(
                f"layer {layer.path!r}: {initializer!r} looks at the activation, and the module does not say "
                f"what its output goes through. Pass activation='relu' for all layers but the last, or "
                f"activation={{{layer.path!r}: 'relu', ...}}."
            )
        yield spec


def _given_activations(given: object, paths: list[str]) -> dict[str, str]:
    """Return by path the activations that the user named."""
    if given is None:
        return {}
    if isinstance(given, str):
        return dict.fromkeys(paths[:-1], _name(given))
    if not isinstance(given, Mapping):
        raise OptionError(f"activation={given!r}: expected a name, or a mapping from paths to names.")
    named = {}
    for pattern, name in given.items():
        matches = [path for path in paths if path == pattern or fnmatch.fnmatchcase(path, str(pattern))]
        if not matches:
            raise OptionError(
                f"activation: {pattern!r} fits no layer that is filled. There are: {', '.join(paths)}."
            )
        for path in matches:
            named.setdefault(path, _name(name))
    return named


def _name(activation: object) -> str:
    return str(activations.get(activation))


def _following(module: nn.Module) -> Iterator[tuple[int, tuple[str | None, str | None]]]:
    """Yield for the modules in a Sequential: id, and the activation and normalization that follow it.

    None where the Sequential does not say it: it ends there, or comes to a module that may be anything.
    """
    chains = [part for part in module.modules() if _is_chain(part)]
    inner = {id(child) for chain in chains for child in chain}
    for outermost in chains:
        if id(outermost) in inner:
            continue
        whole = outermost is module  # then its end is the end of the network
        row = list(_flat(outermost))
        for position, part in enumerate(row):
            yield id(part), _activation_after(row[position + 1 :], ends=whole)


def _is_chain(part: nn.Module) -> bool:
    """Say whether a module calls its parts one after the other; a subclass may do something else."""
    sequential = _torch().nn.Sequential
    return isinstance(part, sequential) and type(part).forward is sequential.forward


def _flat(chain: nn.Module) -> Iterator[nn.Module]:
    for part in chain:
        if _is_chain(part):
            yield from _flat(part)
        else:
            yield part


def _activation_after(parts: list[nn.Module], ends: bool) -> tuple[str | None, str | None]:
    norm = None
    for part in parts:
        kind = type(part).__name__
        if kind in _ACTIVATIONS:
            text = _ACTIVATIONS[kind](part)
            return (None if text is None else _name(text)), norm
        if _kind(part) is not None:
            return "identity", norm
        known = next((name for start, name in _NORMS.items() if kind.startswith(start)), None)
        norm = norm or known
        if known is None and not kind.startswith(_PASSED):
            return None, norm
    return ("identity" if ends else None), norm


def _looks_at_activation(initializer: Initializer, spec: LayerSpec) -> bool:
    """Say whether a rule chooses by the activation: it does if its choices for some differ."""

    def choice(activation):
        fields = {name: getattr(spec, name) for name in spec.__dataclass_fields__}
        try:
            return initializer.resolve(LayerSpec(**{**fields, "activation": activation}))[0]
        except MinidlError as error:
            return str(error)

    return len({choice(name) for name in ("relu", "tanh", "selu")}) > 1


def _adjusted(adjust: Callable | None, spec: LayerSpec) -> LayerSpec:
    if adjust is None:
        return spec
    better = adjust(spec)
    if not isinstance(better, LayerSpec):
        raise OptionError(f"adjust: expected a function that returns a LayerSpec, got {better!r}.")
    for name in ("path", "shape", "layout", "groups", "transposed"):
        if getattr(better, name) != getattr(spec, name):
            raise OptionError(f"adjust: changed {name} of layer {spec.path!r}, which is the module's own.")
    return better


# --- values ---------------------------------------------------------------------------------------


def _values(
    layer: _Found, spec: LayerSpec, initializer: Initializer, seed: initializers.Stream
) -> list[tuple[nn.Module, str, torch.Tensor]]:
    """Return (module, name, value) for the parameters of a layer, ready to be written."""
    part = layer.module
    old = {name: _value(part, name) for name in ("weight", "bias")}
    weight = np.empty(spec.shape, _dtype(spec.path, "weight", old["weight"]))
    bias = None
    if old["bias"] is not None:
        bias = np.empty(spec.n_outputs, _dtype(spec.path, "bias", old["bias"]))
        if tuple(old["bias"].shape) != bias.shape:
            raise ShapeError(
                f"layer {spec.path!r}: its bias has shape {tuple(old['bias'].shape)}, expected {bias.shape}."
            )
    initializer.init_layer(spec, seed, weight, bias)
    new = {"weight": None if layer.owner is not None else weight, "bias": bias}
    return [
        (part, name, _tensor(spec.path, name, value, old[name]))
        for name, value in new.items()
        if value is not None
    ]


def _value(part: nn.Module, name: str) -> torch.Tensor | None:
    """Return a weight or bias; to look at a parametrized one must not move what it keeps for training."""
    if name not in getattr(part, "parametrizations", {}):
        return getattr(part, name)
    steps = [(step, step.training) for step in part.parametrizations[name].modules()]
    try:
        for step, _ in steps:
            step.training = False
        with _torch().no_grad():
            return getattr(part, name)
    finally:
        for step, training in steps:
            step.training = training


def _dtype(path: str, name: str, parameter: torch.Tensor) -> type:
    """Return the dtype in which the values of a parameter are computed."""
    torch = _torch()
    if parameter.dtype in (torch.float32, torch.float16, torch.bfloat16):
        return np.float32
    if parameter.dtype == torch.float64:
        return np.float64
    raise DtypeError(
        f"layer {path!r}: its {name} is {parameter.dtype}; expected float32, float64, float16 or bfloat16."
    )


def _tensor(path: str, name: str, value: np.ndarray, parameter: torch.Tensor) -> torch.Tensor:
    """Return a value as a tensor of the dtype and on the device of a parameter."""
    tensor = _torch().from_numpy(value).to(parameter.dtype)
    if tensor.numel() and not math.isfinite(tensor.abs().max().item()):
        raise OptionError(f"layer {path!r}: values of its {name} are too large for {parameter.dtype}.")
    return tensor.to(parameter.device)


def _write(writes: list[tuple[nn.Module, str, torch.Tensor]]) -> None:
    """Set all parameters, or none."""
    torch = _torch()
    before = []
    with torch.no_grad():
        try:
            for part, name, value in writes:
                before += [(p, p.detach().clone()) for p in part.parameters()]
                if name in getattr(part, "parametrizations", {}):
                    setattr(part, name, value)  # through the inverse of the parametrization
                else:
                    getattr(part, name).copy_(value)
        except BaseException:
            for parameter, value in reversed(before):
                parameter.copy_(value)
            raise
