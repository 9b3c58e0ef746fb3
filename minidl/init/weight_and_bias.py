"""Schemes whose weight and bias are both drawn, each by a law of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minidl.init.base import Initializer
from minidl.init.checks import check_arrays
from minidl.init.law import Law
from minidl.init.streams import as_stream

__all__ = ["WeightAndBias"]


@dataclass(frozen=True, repr=False)
class WeightAndBias(Initializer):
    """Base class: the weight as in :class:`Initializer`, the bias by ``bias_law(fan_in, fan_out)``.

    Examples
    --------
    >>> from minidl.init import LayerSpec, TorchDefault
    >>> weight, bias = np.empty((4, 2)), np.empty(2)
    >>> TorchDefault().init_layer(LayerSpec("0", (4, 2)), 0, weight, bias)
    >>> bool(np.all(np.abs(bias) < 0.5))
    True
    """

    def bias_law(self, fan_in: int, fan_out: int) -> Law | None:
        """Return the law of the elements of the bias; None for a bias of 0."""
        return None

    def bias_variance(self, fan_in, fan_out):
        """Return the variance of an element of the bias."""
        law = self.bias_law(fan_in, fan_out)
        return 0.0 if law is None else law.variance()

    def init_layer(self, spec, seed, weight, bias=None):
        check_arrays(spec, weight, bias)
        stream = as_stream(seed).child(spec.path)
        # The bias is made aside first: if either rule fails, neither parameter has changed.
        made = None if bias is None else np.zeros(bias.shape, bias.dtype)
        # Without inputs there is no fan to scale by; the bias of such a layer stays at 0.
        if made is not None and made.size and spec.fan_in:
            law = self.bias_law(spec.fan_in, spec.fan_out)
            if law is not None:
                law.fill(made, stream.child("bias"))
        self.fill_weight(spec, stream.child("weight"), weight)
        if bias is not None:
            bias[...] = made
