"""Mean-field theory of initialization: what a deep network does to signals and gradients before training.

>>> from minidl import theory
>>> round(theory.gains("gelu").forward, 6)
1.53353
>>> round(theory.edge_of_chaos("tanh", sigma_b=0.2).sigma_w, 5)
1.30415
>>> theory.verdict("relu", 1.0).ok
False

The README of this folder explains it.
"""

from minidl.theory.critical import CriticalPoint, doubly_critical, edge_line, edge_of_chaos
from minidl.theory.function import Function
from minidl.theory.gains import Gains, gains
from minidl.theory.maps import FixedPoint, MeanField
from minidl.theory.quadrature import gaussian_mean, gaussian_pair_mean, significant
from minidl.theory.verdict import Verdict, verdict

__all__ = [
    "CriticalPoint",
    "FixedPoint",
    "Function",
    "Gains",
    "MeanField",
    "Verdict",
    "doubly_critical",
    "edge_line",
    "edge_of_chaos",
    "gains",
    "gaussian_mean",
    "gaussian_pair_mean",
    "significant",
    "verdict",
]
