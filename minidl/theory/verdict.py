"""Whether a stack of layers carries signal and gradient through a given depth, in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from minidl.options import count, number
from minidl.theory.maps import MeanField

__all__ = ["Verdict", "verdict"]


@dataclass(frozen=True)
class Verdict:
    """A yes or a no, and the reason; true if yes, and a pair if unpacked.

    Examples
    --------
    >>> ok, reason = Verdict(True, "it fits.")
    >>> ok, bool(Verdict(False, "it does not."))
    (True, False)
    """

    ok: bool
    reason: str

    def __bool__(self) -> bool:
        return self.ok

    def __iter__(self) -> Iterator:
        return iter((self.ok, self.reason))


def verdict(
    activation: object, sigma_w2: float, sigma_b2: float = 0.0, depth: int = 10, limit: float = 1e3
) -> Verdict:
    """Say whether signal and gradient survive `depth` wide layers.

    From q = 1 the variance map is applied `depth` times. Both the variance of the pre-activations and
    the product of the factors on squared gradients must stay between 1 / limit and limit.

    Parameters
    ----------
    activation : str, Activation, callable or Function
    sigma_w2, sigma_b2 : float
        fan_in * Var(W) > 0 and Var(b) >= 0.
    depth : int
        Number of layers, >= 1.
    limit : float
        > 1.

    Returns
    -------
    Verdict

    Raises
    ------
    OptionError
        An argument is out of range.

    Examples
    --------
    >>> verdict("relu", 1.0)
    Verdict(ok=False, reason='relu: q falls from 1 to 0.000977 in 10 layers.')
    >>> verdict("relu", 2.0)
    Verdict(ok=True, reason='relu: after 10 layers q is 1, and squared gradients change by a factor of 1.')
    """
    depth = count("depth", depth, minimum=1)
    high = number("limit", limit, "a finite number > 1", lambda x: x > 1.0)
    low = 1.0 / high
    field = MeanField(activation, sigma_w2, sigma_b2)
    label = field.function.label
    q, product = 1.0, 1.0
    for layer in range(1, depth + 1):
        product *= field.chi(q)
        q = field.variance_map(q)
        if not low <= q <= high:
            return Verdict(False, f"{label}: q {_moves(q)} from 1 to {q:.3g} in {_layers(layer)}.")
        if not low <= product <= high:
            how = "shrink" if product < 1.0 else "grow"
            text = f"{label}: squared gradients {how} by a factor of {product:.3g} in {_layers(layer)}."
            return Verdict(False, text)
    return Verdict(
        True,
        f"{label}: after {_layers(depth)} q is {q:.3g}, and squared gradients change by a factor of "
        f"{product:.3g}.",
    )


def _moves(q: float) -> str:
    return "falls" if q < 1.0 else "grows"


def _layers(n: int) -> str:
    return f"{n} layer{'s' if n > 1 else ''}"
