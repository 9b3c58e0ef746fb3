"""Maximal update parametrization: variances and learning rates with which all widths train alike."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from minidl.errors import OptionError
from minidl.init.auto import Auto
from minidl.init.base import Initializer, Rule
from minidl.init.constant import Zeros
from minidl.init.registry import get, register
from minidl.init.scaled import Scaled
from minidl.init.spec import LayerSpec
from minidl.options import count, flag, significant

__all__ = ["MuP"]

AUTO = Auto()


@register("mup")
@dataclass(frozen=True, repr=False)
class MuP(Rule):
    r"""Maximal update parametrization: a learning rate found on a narrow net serves a wide one.

    A network of the base width is initialized and trained as `base` has it. In another, with
    :math:`m_{in}, m_{out}` the ratios of a layer's width on either side to that of the base net (1 on
    the side of the data and of the outputs):

    ===================  ============================  ====================  ===================
    parameter            variance                      learning rate, SGD    (Adam)
    ===================  ============================  ====================  ===================
    weight, first layer  that of the base net          :math:`m_{out}`       1
    hidden weights       :math:`1/m_{in}` of it        :math:`m_{out}/m_{in}` :math:`1/m_{in}`
    weight, last layer   :math:`1/m_{in}^2` of it      :math:`1/m_{in}`      :math:`1/m_{in}`
    biases               that of the base net          :math:`m_{out}`       1
    ===================  ============================  ====================  ===================

    These are the numbers of the third table of the second paper, which has no multipliers in the forward
    pass, relative to a base net as in the authors' package. Then the activations of all layers change by an
    amount that does not depend on the width, and by as much as is possible. :class:`minidl.SGD` uses the
    factors by itself; for another optimizer read them off the table.

    Parameters
    ----------
    base_width : int or sequence of int
        Width of the hidden layers of the base net, the one on which the learning rate is searched, or of each
        of them.
    base : Initializer, str, ndarray or callable
        What the base net starts from; see :func:`get`. Its variance must be known. Biases are its own.
    zero_readout : bool
        Start the last weight at 0, as the authors recommend: the outputs of a net that has not learnt
        anything then do not depend on the width either.

    Raises
    ------
    OptionError
        A width is outside its range, the base net has another depth, or the variance of `base` is not known
        or 0.

    Notes
    -----
    A factor on the learning rate does not commute with weight decay, which is multiplied by it too.

    References
    ----------
    Yang, Hu, *Feature learning in infinite-width neural networks*, ICML 2021, arXiv:2011.14522. Yang, Hu et
    al., *Tensor programs V: tuning large neural networks via zero-shot hyperparameter transfer*, 2022,
    arXiv:2203.03466.

    Examples
    --------
    >>> from minidl.init import LayerSpec
    >>> mup = MuP(base_width=64, base="he_normal")
    >>> for spec in (
    ...     LayerSpec("0", (784, 256), role="input", index=0, depth=3),
    ...     LayerSpec("1", (256, 256), role="hidden", index=1, depth=3),
    ...     LayerSpec("2", (256, 10), role="output", index=2, depth=3),
    ... ):
    ...     print(mup.resolve(spec)[0], mup.lr_multipliers(spec))
    He() {'weight': 4.0, 'bias': 4.0}
    He() {'weight': 1.0, 'bias': 4.0}
    Scaled(0.5, He()) {'weight': 0.25, 'bias': 1.0}
    """

    base_width: int | tuple[int, ...]
    base: Initializer = AUTO
    zero_readout: bool = False
    formula: ClassVar[str] = (
        "Var(W) = that of the base net x 1, 1/m, 1/m^2 (first, hidden, last), m = width/base"
    )
    assumes: ClassVar[str] = "SGD with the factors on the learning rate; widths that grow together"
    fails: ClassVar[str] = "without the factors it is worse than no rule: first and last layer hardly learn"
    paper: ClassVar[str] = "Yang, Hu et al. 2022, Tensor programs V, arXiv:2203.03466"
    distribution: ClassVar[str] = "by layer"
    examples: ClassVar[tuple[str, ...]] = (
        "MuP(64, base=Xavier())",
        "MuP(base_width=[32, 64], base=He(), zero_readout=True)",
    )

    def __post_init__(self):
        self._set(base=get(self.base))
        if hasattr(self.base_width, "__iter__") and not isinstance(self.base_width, str):
            self._set(base_width=tuple(count("base_width", n, minimum=1) for n in self.base_width))
        else:
            self._set(base_width=count("base_width", self.base_width, minimum=1))
        self._set(zero_readout=flag("zero_readout", self.zero_readout))

    def _ratios(self, spec) -> tuple[float, float]:
        """Return m_in and m_out: the width on either side over that of the base net."""
        base = self.base_width
        if isinstance(base, tuple) and len(base) != spec.depth - 1:
            raise OptionError(
                f"MuP: base_width={base} describes a net with {len(base)} hidden layers, layer {spec.path!r} "
                f"is one of {spec.depth} weights, so that there are {spec.depth - 1}."
            )
        n_out, n_in, *_ = spec.kernel_shape
        m_in = m_out = 1.0
        if spec.role == "hidden" or (spec.role == "output" and spec.depth > 1):
            m_in = n_in * spec.groups / (base[spec.index - 1] if isinstance(base, tuple) else base)
        if spec.role != "output":
            m_out = n_out / (base[spec.index] if isinstance(base, tuple) else base)
        return m_in, m_out

    def resolve(self, spec):
        m_in, m_out = self._ratios(spec)
        base, reason = self.base.resolve(spec)
        if spec.role == "output" and self.zero_readout:
            return Zeros(), "output layer: zero readout"
        if not spec.fan_in or not spec.fan_out:
            return base, reason
        there = _layer_of_base(spec, m_in, m_out)
        wanted = self.base.resolve(there)[0].variance(there.fan_in, there.fan_out)
        wanted /= m_in**2 if spec.role == "output" else m_in
        own = base.variance(spec.fan_in, spec.fan_out)
        if not (wanted > 0.0 and own > 0.0):
            raise OptionError(f"MuP: layer {spec.path!r}: {base!r} has variance 0, which cannot be scaled.")
        factor = significant(math.sqrt(wanted / own))
        place = {"input": "first layer", "hidden": "hidden layer", "output": "last layer"}[spec.role]
        reason = f"{reason}; {place}, {max(m_in, m_out):.4g} times as wide as the base"
        return base if factor == 1.0 else Scaled(factor, base), reason

    def lr_multipliers(self, spec):
        """Return the factors on the learning rate of SGD, see the table."""
        m_in, m_out = self._ratios(spec)
        return {"weight": m_out / m_in, "bias": m_out}

    def check_network(self, specs):
        for spec in specs:
            self.resolve(spec)
        self.base.check_network(specs)


def _layer_of_base(spec: LayerSpec, m_in: float, m_out: float) -> LayerSpec:
    """Return what the layer is in the base net: as many times narrower on either side."""
    narrower = {"i": m_in, "o": m_out}
    shape = (round(n / narrower.get(axis, 1.0)) for axis, n in zip(spec.axes.axes, spec.shape, strict=True))
    return replace(spec, shape=tuple(shape))
