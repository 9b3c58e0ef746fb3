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
from minidl.theory.finite import FiniteWidth, finite_width
from minidl.theory.function import Function
from minidl.theory.gains import Gains, gains
from minidl.theory.maps import FixedPoint, MeanField
from minidl.theory.pictures import plot
from minidl.theory.predict import Layer, PredictedLayer, Prediction, predict
from minidl.theory.quadrature import gaussian_mean, gaussian_pair_mean
from minidl.theory.report import report
from minidl.theory.verdict import Verdict, verdict

__all__ = [
    "CriticalPoint",
    "FiniteWidth",
    "FixedPoint",
    "Function",
    "Gains",
    "Layer",
    "MeanField",
    "PredictedLayer",
    "Prediction",
    "Verdict",
    "doubly_critical",
    "edge_line",
    "edge_of_chaos",
    "finite_width",
    "gains",
    "gaussian_mean",
    "gaussian_pair_mean",
    "plot",
    "predict",
    "report",
    "verdict",
]
