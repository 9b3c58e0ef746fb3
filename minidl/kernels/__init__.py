"""The kernels, callable one by one: NumPy arrays in and out, no copy where the layout fits.

The README.md beside this file explains how they work.
"""

from minidl.kernels._leaf import available_isa, isa, set_isa, use_isa
from minidl.kernels.activation import (
    activation,
    activation_backward,
    activation_gradient,
    vmath,
)
from minidl.kernels.loss import loss
from minidl.kernels.matmul import matmul
from minidl.kernels.packing import use_packing
from minidl.kernels.reduction import (
    all_finite,
    argmax,
    log_softmax,
    reduce,
    softmax,
    softmax_backward,
)
from minidl.kernels.threads import get_num_threads, set_num_threads
from minidl.kernels.update import sgd

__all__ = [
    "activation",
    "activation_backward",
    "activation_gradient",
    "all_finite",
    "argmax",
    "available_isa",
    "get_num_threads",
    "isa",
    "log_softmax",
    "loss",
    "matmul",
    "reduce",
    "set_isa",
    "set_num_threads",
    "sgd",
    "softmax",
    "softmax_backward",
    "use_isa",
    "use_packing",
    "vmath",
]
