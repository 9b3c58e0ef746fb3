"""A warning, before anything is trained, that a deep network will not carry its signal."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from minidl.errors import InitWarning, OptionError
from minidl.init.base import Initializer
from minidl.init.spec import LayerSpec

__all__ = ["HOPELESS", "warn_if_hopeless"]

#: Factor on the signal or on squared gradients, over all layers, from which training stalls or diverges.
HOPELESS = 1e6
#: Hidden layers up to which nothing is said: any scheme can be rescued by the learning rate.
SHALLOW = 4


def warn_if_hopeless(pairs: Iterable[tuple[LayerSpec, Initializer]], stacklevel: int = 2) -> None:
    """Warn once for each scheme and activation whose hidden layers will lose or blow up the signal.

    Parameters
    ----------
    pairs : iterable of (LayerSpec, Initializer)
        All layers of a plain network.
    stacklevel : int
        As for :func:`warnings.warn`.

    Examples
    --------
    >>> from minidl.init import Xavier
    >>> specs = [LayerSpec(str(i), (64, 64), "in_out", "sigmoid", index=i, depth=20) for i in range(20)]
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn_if_hopeless([(spec, Xavier()) for spec in specs])
    >>> print(caught[0].message)
    layers 0 to 19, Xavier() with sigmoid: squared gradients shrink by a factor of ... in 5 layers. ...
    """
    groups: dict[tuple[Initializer, str], list[LayerSpec]] = {}
    for spec, initializer in pairs:
        if initializer.needs_data:  # the data will mend what is wrong
            continue
        if spec.role != "output" and spec.norm is None and spec.branch_pos is None:
            groups.setdefault((initializer.resolve(spec)[0], spec.activation), []).append(spec)
    for (initializer, activation), specs in groups.items():
        if len(specs) <= SHALLOW:
            continue
        try:
            ok, reason = initializer.suits(activation, len(specs), HOPELESS)
        except OptionError:  # nothing is known of the scheme
            continue
        if not ok:
            warnings.warn(
                f"layers {specs[0].path} to {specs[-1].path}, {initializer!r} with {reason} The network will "
                "hardly train; init='auto' chooses the scheme that fits best, if that is not it already.",
                InitWarning,
                stacklevel=stacklevel + 1,
            )
