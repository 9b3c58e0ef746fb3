"""Layers: what parameters they have, and the ops they lower to.

A layer is a description, without weights and without memory: the same object may stand in several
networks. ``lower`` writes the forward ops and returns a function that writes the backward ops; both
stand next to each other, by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from minidl import activations
from minidl.engine.builder import Buffer, Builder, Value
from minidl.engine.ops import ROWS, TILES
from minidl.errors import OptionError, ShapeError, out_of_range

# Weights from which a team that computes dz W^T cuts its columns, not its rows: each thread then transposes
# only its own part of W, which is worth a barrier.
WIDE = 32768
# Rows of a batch up to which a team cuts the columns of x W, too, unless it trains.
FEW_ROWS = 16

# Writes the ops that turn the gradient of a layer's pre-activation into the gradients of its parameters
# and of the pre-activation of the layer below.
Backward = Callable[[Buffer], "Buffer | None"]


def cuts_columns(purpose: str, batch: int) -> bool:
    """Return whether a team cuts the columns of x W, not its rows, in a program for batches of so many rows.

    Each thread then reads its own part of W, once, and a single row can be cut at all.

    Examples
    --------
    >>> cuts_columns("predict", 1), cuts_columns("predict", 256), cuts_columns("train", 1)
    (True, False, False)
    """
    return purpose in ("predict", "evaluate") and batch <= FEW_ROWS


class Layer:
    """Base class of the layers.

    A subclass says how wide its output is, which parameters it has, and how it lowers to ops.
    """

    #: layers with an activation may be asked to leave it out, where the loss applies it instead
    activation = None

    def n_outputs(self, n_inputs: int) -> int:
        """Return the width of the output for an input of that width."""
        return n_inputs

    def parameters(self, n_inputs: int) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter by its role, "weight" and "bias"."""
        return {}

    def lower(
        self, builder: Builder, x: Value, path: str, activation=None, out: Buffer | None = None
    ) -> tuple[Value, Backward]:
        """Write the forward ops and return the output and the writer of the backward ops.

        Parameters
        ----------
        builder : Builder
        x : Value
            The input.
        path : str
            Name of the layer in the network: parameters are "<path>.weight" and "<path>.bias".
        activation : Activation, optional
            Use this instead of the layer's own.
        out : Buffer, optional
            Write the output here instead of into new memory.
        """
        raise TypeError(f"{type(self).__name__} does not define lower()")

    def to_dict(self) -> dict:
        """Return the layer as plain data, for saving."""
        raise TypeError(f"{type(self).__name__} does not define to_dict()")


def _gradient_below(builder: Builder, x: Value) -> Buffer:
    """Memory for the gradient of the pre-activation that x was computed from."""
    return builder.work(f"d{x.buffer.name}", x.buffer.cols)


def _finish(builder: Builder, buffer: Buffer, activation, saved: Buffer | None) -> Value:
    plain = activation.name == "identity"
    return Value(buffer, True, None if plain else activation, None if plain else saved)


@dataclass(frozen=True)
class Dense(Layer):
    """Fully connected layer: ``y = act(x W + b)``.

    Parameters
    ----------
    units : int
        Width of the output, fan_out.
    activation : str or Activation
        See :mod:`minidl.activations`; "softmax" only as the last layer of a network.
    init : Initializer, str, ndarray or callable, optional
        Fills weight and bias; default: the network's ``init``.
    use_bias : bool

    Raises
    ------
    OptionError
        For units < 1 or an unknown activation or initializer.

    Notes
    -----
    The weight has shape (fan_in, fan_out). Backward pass, with dz the gradient of the pre-activation::

        dW = x^T dz        db = sum over rows of dz        dx = (dz W^T) * act'(z of the layer below)

    Examples
    --------
    >>> Dense(10, "relu").parameters(n_inputs=4)
    {'weight': (4, 10), 'bias': (10,)}
    """

    units: int
    activation: activations.Activation | str = "identity"
    init: object = None
    use_bias: bool = True

    def __post_init__(self):
        if isinstance(self.units, bool) or not hasattr(self.units, "__index__") or self.units < 1:
            raise out_of_range("units", self.units, "an integer >= 1")
        object.__setattr__(self, "units", int(self.units))
        object.__setattr__(self, "activation", activations.get(self.activation))
        if self.init is not None:
            from minidl import init

            object.__setattr__(self, "init", init.get(self.init))

    def n_outputs(self, n_inputs: int) -> int:
        return self.units

    def parameters(self, n_inputs: int) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {"weight": (n_inputs, self.units)}
        if self.use_bias:
            shapes["bias"] = (self.units,)
        return shapes

    def lower(self, builder, x, path, activation=None, out=None):
        act = self.activation if activation is None else activation
        fan_in, fan_out = x.buffer.cols, self.units
        weight = builder.parameter(f"{path}.weight")
        bias = builder.parameter(f"{path}.bias") if self.use_bias else None
        y = out or builder.work(f"y{path}", fan_out)
        softmax = act.name == "softmax"
        saves_derivative = builder.training and not softmax and act.saves == "derivative"
        d = builder.work(f"d{path}", fan_out) if saves_derivative else None
        sizes = {"fan_in": fan_in, "fan_out": fan_out}
        by_columns = fan_in * fan_out >= WIDE and cuts_columns(builder.program.purpose, builder.program.batch)
        fused = activations.get("identity") if softmax else act
        builder.emit(
            "DENSE",
            path,
            {**sizes, "activation": fused, "cut": TILES if by_columns else ROWS},
            x=x.buffer,
            weight=weight,
            bias=bias,
            y=y,
            d=d,
        )
        if softmax:
            builder.emit("SOFTMAX", path, x=y, y=y)

        def backward(dz: Buffer) -> Buffer | None:
            builder.emit_late(
                "DENSE_DW",
                path,
                sizes,
                x=x.buffer,
                dz=dz,
                dweight=builder.gradient(f"{path}.weight"),
                dbias=builder.gradient(f"{path}.bias") if self.use_bias else None,
            )
            if not x.needs_gradient:
                return None
            dx = _gradient_below(builder, x)
            builder.emit(
                "DENSE_DX",
                path,
                {**sizes, "activation": x.activation, "cut": TILES if fan_in * fan_out >= WIDE else ROWS},
                dz=dz,
                weight=weight,
                saved=x.saved,
                dx=dx,
            )
            return dx

        return _finish(builder, y, act, d or y), backward

    def to_dict(self) -> dict:
        return {
            "layer": "Dense",
            "units": self.units,
            "activation": str(self.activation),
            "init": None if self.init is None else self.init.to_dict(),
            "use_bias": self.use_bias,
        }


@dataclass(frozen=True)
class Activation(Layer):
    """Element-wise activation: ``y = act(x)``.

    Parameters
    ----------
    activation : str or Activation
        See :mod:`minidl.activations`; "softmax" only as the last layer of a network.

    Examples
    --------
    >>> Activation("tanh").n_outputs(7)
    7
    """

    activation: activations.Activation | str = field(default="identity")

    def __post_init__(self):
        object.__setattr__(self, "activation", activations.get(self.activation))

    def lower(self, builder, x, path, activation=None, out=None):
        act = self.activation if activation is None else activation
        if act.name == "identity" and out is None:
            return x, lambda dz: dz
        y = out or builder.work(f"y{path}", x.buffer.cols)
        saves_derivative = builder.training and act.name != "softmax" and act.saves == "derivative"
        d = builder.work(f"d{path}", x.buffer.cols) if saves_derivative else None
        if act.name == "softmax":
            builder.emit("SOFTMAX", path, x=x.buffer, y=y)
        else:
            builder.emit("ACTIVATION", path, {"activation": act}, x=x.buffer, y=y, d=d)

        def backward(dz: Buffer) -> Buffer | None:
            # dz is the gradient of x itself; the layer below wants that of its pre-activation
            if x.activation is None or not x.needs_gradient:
                return dz if x.needs_gradient else None
            below = _gradient_below(builder, x)
            builder.emit(
                "ACTIVATION_GRAD",
                path,
                {"activation": x.activation},
                dy=dz,
                saved=x.saved,
                dz=below,
            )
            return below

        return Value(y, x.needs_gradient, None if act.name == "identity" else act, d or y), backward

    def to_dict(self) -> dict:
        return {"layer": "Activation", "activation": str(self.activation)}


KINDS: dict[str, type[Layer]] = {"Dense": Dense, "Activation": Activation}


def from_dict(data: dict) -> Layer:
    """Rebuild a layer from :meth:`Layer.to_dict`."""
    data = dict(data)
    kind = data.pop("layer")
    if kind not in KINDS:
        raise OptionError(f"layer kind {kind!r} is unknown. Known: {', '.join(KINDS)}.")
    if data.get("init") is not None:
        from minidl import init

        data["init"] = init.from_dict(data["init"])
    return KINDS[kind](**data)


def check_stack(layers: list[Layer]) -> None:
    """Raise if a list of layers is no network: empty, not layers, or a softmax before the end."""
    if not layers:
        raise ShapeError("layers is empty: a network needs at least one layer.")
    for position, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise OptionError(
                f"layers[{position}]: expected a layer such as Dense(10, 'relu'), got {type(layer).__name__}."
            )
        last = position == len(layers) - 1
        if layer.activation is not None and layer.activation.name == "softmax" and not last:
            raise OptionError(
                f"layers[{position}]: softmax is an output function; use it in the last layer only."
            )
