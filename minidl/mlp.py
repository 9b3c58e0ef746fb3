"""The multilayer perceptron: the common case of a network, by its widths."""

from __future__ import annotations

from collections.abc import Iterable

from minidl import activations
from minidl.errors import ShapeError
from minidl.layers import Dense
from minidl.model import Sequential
from minidl.options import count


class MLP(Sequential):
    """A multilayer perceptron: dense layers of the given widths with one hidden activation.

    Parameters
    ----------
    sizes : sequence of int
        Widths from input to output, for example [784, 256, 128, 10].
    activation : str or Activation
        Of the hidden layers.
    output_activation : str or Activation
        Of the last layer; "identity" gives logits.
    init, seed, dtype
        As in :class:`Sequential`.
    use_bias : bool

    Examples
    --------
    >>> net = minidl.MLP([784, 256, 128, 10], activation="relu", init="auto", seed=0)
    >>> net.params.count
    235146
    """

    def __init__(
        self,
        sizes: Iterable[int],
        activation: object = "relu",
        *,
        output_activation: object = "identity",
        init: object = "auto",
        seed: int | None = None,
        dtype: str = "float32",
        use_bias: bool = True,
    ):
        sizes = [count(f"sizes[{i}]", n, 1) for i, n in enumerate(sizes)]
        if len(sizes) < 2:
            raise ShapeError(f"sizes={sizes}: expected at least an input and an output width.")
        hidden = activations.get(activation)
        layers = [Dense(n, hidden, use_bias=use_bias) for n in sizes[1:-1]]
        layers.append(Dense(sizes[-1], output_activation, use_bias=use_bias))
        super().__init__(layers, n_inputs=sizes[0], init=init, seed=seed, dtype=dtype)
