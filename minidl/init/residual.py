"""Rules for the layers of residual branches: y = skip x + branch f(x), with f a stack of m layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from minidl.errors import OptionError
from minidl.init.base import Initializer, Rule
from minidl.init.constant import Zeros
from minidl.init.registry import get, register
from minidl.init.scaled import DepthPower, Scaled
from minidl.init.spec import LayerSpec
from minidl.init.variance_scaling import He, Xavier
from minidl.options import non_negative

__all__ = ["DeepNorm", "DepthScaled", "Fixup", "ResidualRule", "SkipInit"]

HE = He()
XAVIER = Xavier("normal")


@dataclass(frozen=True, repr=False)
class ResidualRule(Rule):
    r"""Base class of the rules for residual networks.

    A network with B residual branches maps, in each of them,

    .. math:: y = \mathrm{skip} \cdot x + \mathrm{branch} \cdot f(x)

    where f is a stack of m layers, and what follows is up to the architecture. Such a rule chooses the
    weights of all layers from ``spec.residual_branches`` (B), ``spec.branch_pos`` and
    ``spec.branch_layers`` (m); and it says by ``branch_scale`` and ``skip_scale`` where the two scalars
    start, which belong to the block and not to a layer.

    A subclass has the field `base`, what a plain network of these layers would have, and defines
    ``in_branch(spec, base, reason)``, and where needed the two scalars.
    """

    def __post_init__(self):
        self._set(base=get(self.base))

    def branch_scale(self, spec: LayerSpec) -> float:
        """Return the first value of the scalar in front of the branch of this layer."""
        return 1.0

    def skip_scale(self, spec: LayerSpec) -> float:
        """Return the scalar in front of the skip connection beside this layer."""
        return 1.0

    def in_branch(self, spec: LayerSpec, base: Initializer, reason: str) -> tuple[Initializer, str]:
        """Choose for a layer of a branch."""
        raise TypeError(f"{type(self).__name__} does not define in_branch()")

    def outside(self, spec: LayerSpec, base: Initializer, reason: str) -> tuple[Initializer, str]:
        """Choose for another layer: by default the base."""
        return base, reason

    def resolve(self, spec):
        branches(self, spec)
        base, reason = self.base.resolve(spec)
        choose = self.outside if spec.branch_pos is None else self.in_branch
        return choose(spec, base, reason)

    def lr_multipliers(self, spec):
        return self.base.lr_multipliers(spec)

    def check_network(self, specs):
        for spec in specs:
            self.resolve(spec)
        if all(spec.branch_pos is None for spec in specs):
            raise OptionError(
                f"{type(self).__name__}: none of the layers {', '.join(spec.path for spec in specs)} is in a "
                "residual branch: branch_pos and branch_layers of their descriptions are None."
            )
        self.base.check_network(specs)


def branches(rule: Initializer, spec: LayerSpec) -> int:
    """Return the number of residual branches, or raise OptionError if the description has none."""
    if not spec.residual_branches:
        raise OptionError(
            f"{type(rule).__name__}: layer {spec.path!r} belongs to a network without residual branches. Its "
            "description needs residual_branches, and in a branch branch_pos and branch_layers."
        )
    return spec.residual_branches


@register("fixup")
@dataclass(frozen=True, repr=False)
class Fixup(ResidualRule):
    r"""Fixup: residual networks without normalization, any depth.

    With B branches of m layers each: the last layer of each branch and the output layer start at 0, the
    other layers of a branch are

    .. math:: W = B^{-1/(2m-2)} \, W_{base}

    and layers outside are the base's. One step of SGD then changes the function of the network by an
    amount that does not depend on B.

    Parameters
    ----------
    base : Initializer, str, ndarray or callable
        As for :func:`get`.

    Raises
    ------
    OptionError
        The description of a layer has no residual information.

    Notes
    -----
    The architecture of the paper has a scalar in front of each branch, which starts at 1
    (``branch_scale``), and scalar biases, which start at 0, before each layer and each activation.

    References
    ----------
    Zhang, Dauphin, Ma, *Fixup initialization: residual learning without normalization*, ICLR 2019,
    arXiv:1901.09321.

    Examples
    --------
    >>> first, last = (
    ...     LayerSpec(path, (64, 64), residual_branches=16, branch_pos=i, branch_layers=2)
    ...     for i, path in enumerate(["1", "2"])
    ... )
    >>> Fixup().resolve(first)[0], Fixup().resolve(last)[0]
    (Scaled(0.25, He()), Zeros())
    """

    base: Initializer = HE
    formula: ClassVar[str] = "W = B^(-1/(2m-2)) base in a branch of m layers, its last 0, output 0"
    assumes: ClassVar[str] = "residual branches without normalization, scalar multipliers and biases in them"
    fails: ClassVar[str] = "plain layers of zeros without skip connections learn nothing"
    paper: ClassVar[str] = "Zhang, Dauphin, Ma 2019, Fixup initialization, arXiv:1901.09321"
    distribution: ClassVar[str] = "by layer"
    examples: ClassVar[tuple[str, ...]] = ('Fixup(base=He("uniform"))',)

    def in_branch(self, spec, base, reason):
        if spec.ends_branch:
            return Zeros(), "last layer of a residual branch"
        power = -1.0 / (2 * spec.branch_layers - 2)
        factor = DepthPower(power).of(spec)
        return Scaled(factor, base), f"{reason}; {factor:.4g} for {spec.residual_branches} residual branches"

    def outside(self, spec, base, reason):
        if spec.role == "output":
            return Zeros(), "output layer of a residual network"
        return base, reason


@register("skip_init")
@dataclass(frozen=True, repr=False)
class SkipInit(ResidualRule):
    r"""SkipInit and ReZero: the weights of the base, and a scalar in front of each branch.

    The scalar (``branch_scale``) starts at 0, so that the network is the identity, or at a power of the
    number B of branches: with :math:`B^{-1/2}` the branches together add as much variance as there was.

    Parameters
    ----------
    base : Initializer, str, ndarray or callable
        As for :func:`get`.
    alpha : float or DepthPower
        First value of the scalar, finite and >= 0.

    Raises
    ------
    OptionError
        A value is outside its range, or the description of a layer has no residual information.

    References
    ----------
    De, Smith, *Batch normalization biases residual blocks towards the identity function in deep networks*,
    NeurIPS 2020, arXiv:2002.10444. Bachlechner et al., *ReZero is all you need*, UAI 2021,
    arXiv:2003.04887.

    Examples
    --------
    >>> spec = LayerSpec("1", (64, 64), residual_branches=16, branch_pos=0, branch_layers=2)
    >>> SkipInit().resolve(spec)[0], SkipInit().branch_scale(spec)
    (He(), 0.0)
    >>> SkipInit(alpha=DepthPower(-0.5)).branch_scale(spec)
    0.25
    """

    base: Initializer = HE
    alpha: float | DepthPower = 0.0
    formula: ClassVar[str] = "W = base, y = x + alpha f(x), alpha = 0 at first"
    assumes: ClassVar[str] = "a trainable scalar in front of each residual branch"
    fails: ClassVar[str] = "at alpha = 0 the first step changes only the scalars"
    paper: ClassVar[str] = (
        "De, Smith 2020, arXiv:2002.10444; Bachlechner et al. 2020, ReZero, arXiv:2003.04887"
    )
    distribution: ClassVar[str] = "by layer"
    examples: ClassVar[tuple[str, ...]] = (
        "SkipInit(base=LeCun(), alpha=0.1)",
        "SkipInit(alpha=DepthPower(-0.5))",
    )

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.alpha, DepthPower):
            self._set(alpha=non_negative("alpha", self.alpha))

    def branch_scale(self, spec):
        branches(self, spec)
        return self.alpha.of(spec) if isinstance(self.alpha, DepthPower) else self.alpha

    def in_branch(self, spec, base, reason):
        return base, f"{reason}; branch times {self.branch_scale(spec):.4g}"


register("rezero", SkipInit)


@register("depth_scaled")
@dataclass(frozen=True, repr=False)
class DepthScaled(ResidualRule):
    r"""GPT-2's scaling: the last layer of each of B branches is the base's divided by the root of B.

    .. math:: W_{last} = W_{base} / \sqrt{B}

    so that all branches together add as much variance as one would. A transformer of L blocks has two
    branches in each, which is the :math:`1/\sqrt{2L}` of the literature.

    Parameters
    ----------
    base : Initializer, str, ndarray or callable
        As for :func:`get`; GPT-2 has ``"normal(0.02)"``, whatever the width.

    Raises
    ------
    OptionError
        The description of a layer has no residual information.

    References
    ----------
    Radford, Wu, Child, Luan, Amodei, Sutskever, *Language models are unsupervised multitask learners*,
    2019.

    Examples
    --------
    >>> last = LayerSpec("1", (64, 64), residual_branches=2 * 8, branch_pos=1, branch_layers=2)
    >>> DepthScaled("normal(0.02)").resolve(last)[0]
    Scaled(0.25, Normal(std=0.02))
    """

    base: Initializer = HE
    formula: ClassVar[str] = "W = base, in the last layer of each of B branches base / sqrt(B)"
    assumes: ClassVar[str] = "residual branches that are normalized at their entry"
    fails: ClassVar[str] = "with no normalization the branches of a deep net still add up: (1 + 1/B)^B"
    paper: ClassVar[str] = "Radford et al. 2019, Language models are unsupervised multitask learners"
    distribution: ClassVar[str] = "by layer"
    examples: ClassVar[tuple[str, ...]] = ("DepthScaled(base=Normal(0.02))",)

    def in_branch(self, spec, base, reason):
        if not spec.ends_branch:
            return base, reason
        factor = DepthPower(-0.5).of(spec)
        return Scaled(factor, base), f"{reason}; last of a branch, 1 / sqrt({spec.residual_branches})"


@register("deep_norm")
@dataclass(frozen=True, repr=False)
class DeepNorm(ResidualRule):
    r"""DeepNorm: very deep networks with normalization after each residual sum.

    .. math:: x_{l+1} = \mathrm{norm}(\alpha x_l + f(x_l)), \quad
              \alpha = B^{1/4}, \quad W = (4B)^{-1/4}\, W_{base} \text{ in } f

    B counts branches. A transformer of N layers, encoder or decoder alone, has B = 2N, which gives the
    :math:`\alpha = (2N)^{1/4}, \beta = (8N)^{-1/4}` of the paper. :math:`\alpha` is ``skip_scale``, a
    constant.

    Parameters
    ----------
    base : Initializer, str, ndarray or callable
        As for :func:`get`.

    Raises
    ------
    OptionError
        The description of a layer has no residual information.

    Notes
    -----
    In attention the paper scales the projections of values and outputs, not those of queries and keys: leave
    these out with a :class:`Plan`.

    References
    ----------
    Wang, Ma, Dong, Huang, Zhang, Wei, *DeepNet: scaling transformers to 1,000 layers*, 2022,
    arXiv:2203.00555.

    Examples
    --------
    >>> spec = LayerSpec("1", (64, 64), residual_branches=4, branch_pos=0, branch_layers=2)
    >>> DeepNorm().resolve(spec)[0], round(DeepNorm().skip_scale(spec), 4)
    (Scaled(0.5, Xavier(distribution='normal')), 1.4142)
    """

    base: Initializer = XAVIER
    formula: ClassVar[str] = "W = (4B)^(-1/4) base in a branch, x <- norm(B^(1/4) x + f(x))"
    assumes: ClassVar[str] = "normalization after each residual sum, skip connections times alpha"
    fails: ClassVar[str] = "without the factor alpha on the skip connection the updates grow with depth"
    paper: ClassVar[str] = "Wang et al. 2022, DeepNet: scaling transformers to 1,000 layers, arXiv:2203.00555"
    distribution: ClassVar[str] = "by layer"
    examples: ClassVar[tuple[str, ...]] = ("DeepNorm(base=Xavier())",)

    def skip_scale(self, spec):
        branches(self, spec)
        return DepthPower(0.25).of(spec)

    def in_branch(self, spec, base, reason):
        factor = DepthPower(-0.25, scale=0.5**0.5).of(spec)  # 4^(-1/4) = 2^(-1/2)
        return Scaled(factor, base), f"{reason}; {factor:.4g} for {spec.residual_branches} residual branches"
