"""What schemes for one activation share: the one that is given, or else that of each layer."""

from __future__ import annotations

import dataclasses
import warnings
from dataclasses import dataclass

from minidl import activations
from minidl.activations import OUTPUT_FUNCTIONS
from minidl.errors import InitWarning, OptionError
from minidl.init.base import WIDE, Initializer
from minidl.init.outlook import HOPELESS, SHALLOW
from minidl.init.spec import LayerSpec
from minidl.init.variance_scaling import LeCun
from minidl.init.weight_and_bias import WeightAndBias

__all__ = ["ByActivation", "canonical", "output_layer"]


@dataclass(frozen=True, repr=False)
class ByActivation(WeightAndBias):
    """Base class of the schemes made for one activation.

    A subclass has a field ``activation``, a name or None. With a name it is an initializer like any
    other. With None it is a rule: ``resolve(spec)`` chooses by the activation of the layer, through
    :meth:`choose`.

    Examples
    --------
    >>> from minidl.init import EdgeOfChaos
    >>> EdgeOfChaos("relu").std(200, 10)
    0.1
    >>> EdgeOfChaos().resolve(LayerSpec("0", (200, 10), activation="relu"))[0]
    EdgeOfChaos(activation='relu')
    """

    def choose(self, spec: LayerSpec) -> tuple[Initializer, str]:
        """Return the initializer of a layer, and why, where no activation is given."""
        raise TypeError(f"{type(self).__name__} does not define choose()")

    def resolve(self, spec):
        if self.activation is not None:
            return self, "given"
        try:
            return self.choose(spec)
        except OptionError as error:
            raise OptionError(f"layer {spec.path!r}: {error}") from None

    def init_layer(self, spec, seed, weight, bias=None):
        chosen = self.resolve(spec)[0]
        if chosen is self:
            super().init_layer(spec, seed, weight, bias)
        else:
            chosen.init_layer(spec, seed, weight, bias)

    def need_activation(self) -> str:
        """Return the activation, or raise OptionError for a rule that has only a shape."""
        if self.activation is None:
            name = type(self).__name__
            raise OptionError(
                f"{self!r} chooses by the activation of a layer: a shape alone is not enough. Give the "
                f"activation, {name}('tanh'), or see {name}().resolve(spec)[0]."
            )
        return self.activation

    def suits(self, activation, depth=10, limit=1e3):
        """Judge wide hidden layers of an activation; a rule is judged by what it chooses for them."""
        spec = LayerSpec("suits", (WIDE, WIDE), activation=activation, input_activation=activation)
        chosen = self.resolve(spec)[0]
        return (super() if chosen is self else chosen).suits(activation, depth, limit)

    def check_network(self, specs):
        """Raise OptionError for a layer that cannot be served; warn if hidden ones will leave their point."""
        hidden: dict[str, list[LayerSpec]] = {}
        for spec in specs:
            self.resolve(spec)
            if spec.role != "output":
                hidden.setdefault(canonical(spec.activation), []).append(spec)
        for activation, layers in hidden.items():
            # the first layer may have a scheme of its own; what matters is what the others do
            chosen = self.resolve(dataclasses.replace(layers[0], role="hidden"))[0]
            problem = chosen.problem if chosen.activation == activation else ""
            # where all is lost, the network warns of that
            if problem and (len(layers) <= SHALLOW or chosen.suits(activation, len(layers), HOPELESS)):
                where = f"layers {layers[0].path} to {layers[-1].path}"
                warnings.warn(f"{where}, {self!r}: {problem}", InitWarning, stacklevel=2)

    @property
    def problem(self) -> str:
        """What goes wrong in many hidden layers of the activation that the scheme is made for; mostly ""."""
        return ""


def canonical(activation: object) -> str | None:
    """Return an activation in its shortest spelling, or raise OptionError; None and "auto" give None.

    Examples
    --------
    >>> canonical("swish"), canonical("leaky_relu(negative_slope=0.2)")
    ('silu', 'leaky_relu(0.2)')
    """
    if activation is None or (isinstance(activation, str) and activation == "auto"):
        return None
    found = activations.get(activation)
    if found.name in OUTPUT_FUNCTIONS:
        raise OptionError(
            f"activation={str(found)!r} works on whole rows; expected an element-wise activation."
        )
    return str(found)


def output_layer() -> tuple[Initializer, str]:
    """Return what fills the last layer where nothing else is known, and why.

    Examples
    --------
    >>> output_layer()[0]
    LeCun()
    """
    return LeCun(), "output layer: unit variance in, unit variance out"
