"""The cases of each subject: what is timed, what it costs at least, and how an answer is checked.

A case has a name, a dtype, flops and bytes (those that no implementation can do without), a tolerance, the
request that sets a worker up, and ``deviation(answer)``: how far a peer is from the truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import products
from nets import NETS, QUICK, TOLERANCE, Net, true_losses

ROWS = (1, 32, 1024)
PREDICT_TOLERANCE = 1e-4  # thirty layers in float32


@dataclass
class TrainCase:
    """A training step; the losses of the first steps are checked."""

    net: Net
    dtype = "float32"
    tolerance = TOLERANCE
    checked = "losses"

    def __post_init__(self):
        self.name = f"{self.net.name} b{self.net.batch} {self.net.activation}"
        self.flops, self.bytes = self.net.flops, self.net.step_bytes

    def request(self) -> dict:
        """Return the case as a worker takes it."""
        return {"net": self.net.name}

    @cached_property
    def truth(self) -> np.ndarray:
        """The losses in NumPy float64."""
        return np.array(true_losses(self.net))

    def deviation(self, answer: dict) -> float:
        """Return the largest relative error of the losses."""
        return float(np.abs(np.array(answer["losses"]) / self.truth - 1).max())


@dataclass
class PredictCase:
    """A prediction of some rows; the outputs are checked, in the worker."""

    net: Net
    rows: int
    dtype = "float32"
    tolerance = PREDICT_TOLERANCE
    checked = "outputs"

    def __post_init__(self):
        self.name = f"{self.net.name} {self.net.activation}, {self.rows} row{'s' if self.rows > 1 else ''}"
        self.flops, self.bytes = self.net.predict_flops(self.rows), self.net.predict_bytes(self.rows)

    def request(self) -> dict:
        """Return the case as a worker takes it."""
        return {"net": self.net.name, "rows": self.rows}

    def deviation(self, answer: dict) -> float:
        """Return the largest error, relative to the largest output."""
        return answer["deviation"]


@dataclass
class MatmulCase:
    """A matrix product, checked in the worker."""

    product: products.Product
    checked = "elements"

    def __post_init__(self):
        p = self.product
        self.name, self.dtype, self.flops, self.bytes = p.name, p.dtype, p.flops, p.bytes
        self.tolerance = products.TOLERANCE[p.dtype]

    def request(self) -> dict:
        """Return the case as a worker takes it."""
        return self.product.request()

    def deviation(self, answer: dict) -> float:
        """Return the largest error, relative to the largest element."""
        return answer["deviation"]


def cases(options) -> list:
    """Return the cases that the options of the command line ask for."""
    names = options.nets or (QUICK if options.quick else tuple(NETS))
    if options.what == "train":
        return [TrainCase(NETS[name]) for name in names]
    if options.what == "predict":
        return [PredictCase(NETS[name], rows) for name in names for rows in options.rows or ROWS]
    shapes = options.shapes or (() if options.nets else products.SHAPES)
    found = products.of_shapes(shapes, options.dtype)
    if not options.shapes:
        found += products.of_nets(names, options.dtype)
    return [MatmulCase(product) for product in dict.fromkeys(found)]
