"""Weights taken over from a trained network, whole or in evenly spaced slices."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np

from minidl.errors import OptionError, ShapeError, out_of_range
from minidl.init.arrays import Fixed
from minidl.init.base import Rule
from minidl.init.joint import Pair
from minidl.init.registry import register
from minidl.options import choice

__all__ = ["FromModel"]

SELECTIONS = ("exact", "slices")


@register("from_model")
@dataclass(frozen=True, repr=False)
class FromModel(Rule):
    r"""The weights and biases of a trained network.

    ``select="slices"`` picks them out of a larger network (weight selection): from an axis of length
    :math:`t`, of which the layer has only :math:`s`, it takes the elements

    .. math:: i \, t / s \;\text{ if } s \text{ divides } t, \text{ else } i \, (t-1)/(s-1) \text{ rounded},
              \qquad i = 0, \dots, s - 1

    The units that a layer keeps are the inputs that the next layer keeps.

    Parameters
    ----------
    source : Sequential, or mapping of str to array
        A network, its ``params``, or arrays by name ("0.weight"); copied, later training does not change
        them. Weights have shape (fan_in, fan_out).
    paths : mapping of str to str, optional
        From the path of a layer, or a pattern of :mod:`fnmatch`, to the path of the layer in the source, for
        example ``{"2": "1"}``; the first that matches decides. Default: the same path.
    select : {"exact", "slices"}
        Whether the shapes must be equal, or may be smaller than those of the source.

    Raises
    ------
    OptionError, ShapeError
        The source has no such layer, or a shape does not fit. Where only some layers come from a model,
        say which in a :class:`Plan`.

    Notes
    -----
    A bias that the source does not have starts at 0. A saved network that was made with ``init=FromModel``
    holds the source a second time, as text.

    References
    ----------
    Xu, Chen, Vishniakov, Yin, Shen, Darrell, Liu, Liu, *Initializing models with larger ones*, ICLR 2024,
    arXiv:2311.18823.

    Examples
    --------
    >>> teacher = {"0.weight": [[1.0, 2.0, 3.0, 4.0]], "0.bias": [5.0, 6.0, 7.0, 8.0]}
    >>> from minidl.init import LayerSpec
    >>> weight, bias = np.empty((1, 2)), np.empty(2)
    >>> FromModel(teacher, select="slices").init_layer(LayerSpec("0", (1, 2)), 0, weight, bias)
    >>> weight, bias
    (array([[1., 3.]]), array([5., 7.]))
    """

    source: tuple[tuple[str, Fixed], ...]
    paths: tuple[tuple[str, str], ...] = ()
    select: str = "exact"
    formula: ClassVar[str] = "W = a trained weight, or evenly spaced rows and columns of it"
    assumes: ClassVar[str] = "a source trained on related data; for slices, a wider one of the same family"
    fails: ClassVar[str] = "slices of a narrow net: the sum over a part of its inputs is another function"
    paper: ClassVar[str] = "Xu et al. 2023, Initializing models with larger ones, arXiv:2311.18823"
    distribution: ClassVar[str] = "given"
    examples: ClassVar[tuple[str, ...]] = (
        'FromModel({"0.weight": [[1.0, 2.0], [3.0, 4.0]]}, paths={"*": "0"}, select="slices")',
    )

    def __post_init__(self):
        self._set(source=_arrays(self.source), paths=_paths(self.paths))
        choice("select", self.select, SELECTIONS)
        known = self.known_paths()
        for _, path in self.paths:
            choice("paths", path, known)

    def known_paths(self) -> list[str]:
        """Return the paths of the layers of the source."""
        return [name.removesuffix(".weight") for name, _ in self.source if name.endswith(".weight")]

    def resolve(self, spec):
        fits = (path for pattern, path in self.paths if fnmatch.fnmatchcase(spec.path, pattern))
        path = next(fits, spec.path)
        arrays = {name: array.value for name, array in self.source}
        if f"{path}.weight" not in arrays:
            raise OptionError(
                f"layer {spec.path!r}: the source has no {path + '.weight'!r}, it has the layers "
                f"{', '.join(self.known_paths())}. Pass paths={{{spec.path!r}: ...}}, or name in a Plan the "
                "layers that come from a model."
            )
        if spec.groups > 1 or any(n != 1 for n in spec.kernel_shape[2:]):
            raise ShapeError(f"layer {spec.path!r}: FromModel fills dense layers, not {spec.layout!r}.")
        chosen = self._take(spec, f"{path}.weight", arrays, (spec.fan_in, spec.n_outputs))
        if f"{path}.bias" in arrays:
            chosen = Pair(chosen, self._take(spec, f"{path}.bias", arrays, (spec.n_outputs,)))
        part = "slices of " if self.select == "slices" else ""
        return chosen, f"{part}layer {path} of the source"

    def _take(self, spec, name: str, arrays: dict, shape: tuple[int, ...]) -> Fixed:
        """Return the part of an array of the source that fits a parameter."""
        array = arrays[name]
        fits = array.shape == shape
        if self.select == "slices":
            fits = array.ndim == len(shape) and all(s <= t for s, t in zip(shape, array.shape, strict=True))
        if not fits:
            hint = "" if self.select == "slices" else " select='slices' picks from a larger one."
            raise ShapeError(
                f"layer {spec.path!r}: {name} of the source has shape {array.shape}, the layer {shape}.{hint}"
            )
        return Fixed(array[np.ix_(*(evenly(s, t) for s, t in zip(shape, array.shape, strict=True)))])

    def suits(self, activation, depth=10, limit=1e3):
        """Raise OptionError: trained weights suit what they were trained with."""
        raise OptionError("FromModel: trained weights suit the network that they were trained in.")

    def check_network(self, specs):
        for spec in specs:
            self.resolve(spec)

    def __repr__(self):
        if sum(array.value.size for _, array in self.source) <= 1000:
            source = {name: array.value.tolist() for name, array in self.source}
            text = repr(source)
        else:
            digest = hashlib.blake2b(digest_size=4)
            for name, array in self.source:
                digest.update(name.encode() + array.value.tobytes())
            text = f"<{len(self.source)} arrays, hash {digest.hexdigest()}>"
        paths = f", paths={dict(self.paths)!r}" if self.paths else ""
        select = "" if self.select == "exact" else f", select={self.select!r}"
        return f"FromModel({text}{paths}{select})"

    def to_dict(self):
        source = [[name, array.to_dict()] for name, array in self.source]
        paths = [list(pair) for pair in self.paths]
        return {"name": "FromModel", "source": source, "paths": paths, "select": self.select}


def evenly(s: int, t: int) -> np.ndarray:
    """Return s evenly spaced numbers below t, as the authors' code chooses them.

    Examples
    --------
    >>> evenly(4, 8), evenly(3, 8)
    (array([0, 2, 4, 6]), array([0, 4, 7]))
    """
    if s == 0 or t % s == 0:
        return np.arange(s) * (t // max(s, 1))
    return np.array([round(Fraction(i * (t - 1), s - 1)) for i in range(s)])


def _arrays(source: object) -> tuple[tuple[str, Fixed], ...]:
    """Return the arrays of a source by name, frozen."""
    pairs = _pairs(getattr(source, "params", source))
    if not pairs or not all(isinstance(name, str) for name, _ in pairs):
        raise out_of_range("source", source, "a network, or a mapping of names such as '0.weight' to arrays")
    frozen = tuple((name, array if isinstance(array, Fixed) else Fixed(array)) for name, array in pairs)
    if not any(name.endswith(".weight") for name, _ in frozen):
        raise OptionError(f"source: no name ends in '.weight': {', '.join(name for name, _ in frozen)}.")
    return frozen


def _paths(paths: object) -> tuple[tuple[str, str], ...]:
    pairs = () if paths is None else _pairs(paths)
    if pairs is None or not all(isinstance(path, str) for pair in pairs for path in pair):
        raise out_of_range("paths", paths, "a mapping of layer paths such as {'2': '1'}")
    return pairs


def _pairs(mapping: object) -> tuple[tuple, ...] | None:
    """Return the items of a mapping, or pairs as they are; None for something else."""
    pairs = mapping.items() if isinstance(mapping, Mapping) else mapping
    try:
        return tuple((key, value) for key, value in pairs)
    except (TypeError, ValueError):
        return None
