"""The matrix products that are compared: those of training, and some shapes of their own."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from nets import NETS

# name -> how the products of training read their operands (rows B of the batch, layer I to O)
KINDS = {
    "XW": "forward: (B, I) by (I, O)",
    "XtdY": "weight gradient: the transpose of (B, I) by (B, O)",
    "dYWt": "input gradient: (B, O) by the transpose of (I, O)",
}
TOLERANCE = {"float32": 1e-5, "float64": 1e-13}
ALIGNMENT = 64


@dataclass(frozen=True)
class Product:
    """out (m, n) = a (m, k) @ b (k, n); kind says which of a and b is stored transposed."""

    kind: str
    m: int
    k: int
    n: int
    dtype: str

    @property
    def name(self) -> str:
        """Kind and shape: m x k x n."""
        return f"{self.kind} {self.m}x{self.k}x{self.n}"

    @property
    def flops(self) -> int:
        """Floating-point operations."""
        return 2 * self.m * self.k * self.n

    @property
    def bytes(self) -> int:
        """Bytes that must move: each operand once."""
        elements = self.m * self.k + self.k * self.n + self.m * self.n
        return elements * np.dtype(self.dtype).itemsize

    def request(self) -> dict:
        """Return the product as a worker takes it."""
        return asdict(self)

    def operands(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return a, b and out; the memory of each is contiguous and begins at a cache line."""
        rng = np.random.default_rng(5)
        a = _filled(rng, (self.k, self.m) if self.kind == "XtdY" else (self.m, self.k), self.dtype)
        b = _filled(rng, (self.n, self.k) if self.kind == "dYWt" else (self.k, self.n), self.dtype)
        out = _aligned((self.m, self.n), self.dtype)
        return a.T if self.kind == "XtdY" else a, b.T if self.kind == "dYWt" else b, out


def _aligned(shape: tuple[int, int], dtype: str) -> np.ndarray:
    size = shape[0] * shape[1] * np.dtype(dtype).itemsize
    room = np.zeros(size + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + size].view(dtype).reshape(shape)


def _filled(rng, shape: tuple[int, int], dtype: str) -> np.ndarray:
    array = _aligned(shape, dtype)
    array[...] = rng.standard_normal(shape)
    return array


# Shapes that are no layer of the nets: squares, a first layer, small batches.
SHAPES = (
    (64, 64, 64),
    (256, 256, 256),
    (512, 512, 512),
    (1024, 1024, 1024),
    (2048, 2048, 2048),
    (128, 784, 256),
    (32, 64, 128),
    (16, 64, 64),
)


def of_shapes(shapes, dtype: str) -> list[Product]:
    """Return the plain products of these shapes (m, k, n)."""
    return [Product("XW", m, k, n, dtype) for m, k, n in shapes]


def of_nets(names, dtype: str) -> list[Product]:
    """Return the products of a training step of these nets, each once."""
    found = {}
    for name in names:
        net = NETS[name]
        for i, (fan_in, fan_out) in enumerate(zip(net.sizes, net.sizes[1:], strict=False)):
            found[Product("XW", net.batch, fan_in, fan_out, dtype)] = None
            found[Product("XtdY", fan_in, net.batch, fan_out, dtype)] = None
            if i > 0:  # the first layer needs no gradient of its input
                found[Product("dYWt", net.batch, fan_out, fan_in, dtype)] = None
    return list(found)
