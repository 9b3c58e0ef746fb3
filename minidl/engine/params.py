"""Parameters in one flat vector, with named views.

All weights and biases of a network are born in one 64-byte aligned vector; gradients and optimizer
state have the same layout. So an optimizer step, a copy of the best weights, or a sum over processes
is one operation on one array.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Iterator, Mapping

import numpy as np

from minidl.errors import ShapeError, UnknownParameterError, unknown_name

ALIGNMENT = 64  # bytes: a cache line, and the widest vector
HUGE_PAGE = 2 * 1024 * 1024
WIDE_LINES = 8  # cache lines of a row from which one more, at most an eighth, is no waste


def aligned_zeros(n: int, dtype, huge: bool = True) -> np.ndarray:
    """Return n zeros whose first byte lies on a 64-byte boundary, in huge pages if they fill some.

    A kernel walks down columns of matrices whose rows are kilobytes apart: in pages of 4 KB nearly every row
    needs a translation of its own, more than the first-level buffer of a CPU holds.
    """
    dtype = np.dtype(dtype)
    size = n * dtype.itemsize
    huge = huge and size >= HUGE_PAGE and hasattr(mmap, "MADV_HUGEPAGE")
    alignment = HUGE_PAGE if huge else ALIGNMENT
    if huge:
        memory = mmap.mmap(-1, size + alignment, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with contextlib.suppress(OSError):  # a kernel without huge pages
            memory.madvise(mmap.MADV_HUGEPAGE)
        raw = np.frombuffer(memory, np.uint8)
    else:
        raw = np.zeros(size + alignment, np.uint8)
    start = -raw.ctypes.data % alignment
    return raw[start : start + size].view(dtype)


def leading_dimension(columns: int, dtype) -> int:
    """Return the distance between rows of a matrix with so many columns, in elements.

    Rows start on 64-byte boundaries, so that vectors never straddle cache lines. Wide rows lie an odd
    number of cache lines apart: a kernel that walks down a few columns then meets all sets of the L1
    cache, where rows a multiple of 1 KB apart would compete for every sixteenth. Rows shorter than half
    a cache line stay dense: padding would more than double them.
    """
    lanes = ALIGNMENT // np.dtype(dtype).itemsize
    if columns < lanes // 2:
        return max(columns, 1)
    lines = -(-columns // lanes)
    return (lines | 1 if lines >= WIDE_LINES else lines) * lanes


def lies_well(matrix: np.ndarray) -> bool:
    """Return whether the rows of a matrix lie where kernels may as well read them in place.

    They do unless they are wide and an even number of cache lines apart, where a copy with
    :func:`leading_dimension` is read faster.

    >>> lies_well(np.zeros((100, 784), np.float32)), lies_well(np.zeros((100, 1024), np.float32))
    (True, False)
    """
    distance = abs(matrix.strides[0])
    return distance < WIDE_LINES * ALIGNMENT or distance % (2 * ALIGNMENT) != 0


class Layout:
    """Where each named tensor stands in the flat vector.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Names in order, for example ``{"0.weight": (784, 256), "0.bias": (256,)}``.
    dtype : dtype
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], dtype):
        self.dtype = np.dtype(dtype)
        self.shapes = dict(shapes)
        self.offsets: dict[str, int] = {}
        self.strides: dict[str, int] = {}
        lanes = ALIGNMENT // self.dtype.itemsize
        end = 0
        for name, shape in self.shapes.items():
            self.offsets[name] = end
            self.strides[name] = leading_dimension(shape[-1], dtype)
            rows = shape[0] if len(shape) == 2 else 1
            end = -(-(end + rows * self.strides[name]) // lanes) * lanes
        self.size = end

    def view(self, flat: np.ndarray, name: str) -> np.ndarray:
        """Return the tensor of that name inside a flat vector."""
        shape, start = self.shapes[name], self.offsets[name]
        if len(shape) == 1:
            return flat[start : start + shape[0]]
        rows, columns = shape
        block = flat[start : start + rows * self.strides[name]]
        return block.reshape(rows, self.strides[name])[:, :columns]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Layout)
            and self.dtype == other.dtype
            and list(self.shapes.items()) == list(other.shapes.items())
        )

    __hash__ = None


class ParamStore(Mapping):
    """A flat vector and its named views: ``store["0.weight"]``, ``store.flat``.

    Views are writable and have the layer's shape, (fan_in, fan_out) for weights; rows may be padded
    in memory, and pads stay zero. Assigning to a name copies into the view.

    Parameters
    ----------
    layout : Layout

    Examples
    --------
    >>> store = ParamStore(Layout({"0.weight": (2, 3), "0.bias": (3,)}, "float32"))
    >>> store["0.bias"] = 1.0
    >>> store["0.weight"].shape, float(store.flat.sum())
    ((2, 3), 3.0)
    """

    def __init__(self, layout: Layout):
        self.layout = layout
        self.flat = aligned_zeros(layout.size, layout.dtype)
        self._views = {name: layout.view(self.flat, name) for name in layout.shapes}

    def __reduce__(self):
        """Pickle and copy the vector; the views are made again, over the copy."""
        return _restore, (self.layout, self.flat)

    def __getitem__(self, name: str) -> np.ndarray:
        try:
            return self._views[name]
        except KeyError:
            raise UnknownParameterError(str(unknown_name("parameter", name, self._views))) from None

    def __setitem__(self, name: str, value) -> None:
        view = self[name]
        value = np.asarray(value)
        if value.shape not in ((), view.shape):
            raise ShapeError(f"{name}: expected shape {view.shape}, got {value.shape}.")
        view[...] = value

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {view.shape}" for name, view in self.items())
        return f"ParamStore({self.count:,} {self.layout.dtype}: {shapes})"

    @property
    def count(self) -> int:
        """Number of parameters, without pads."""
        return sum(view.size for view in self._views.values())


def _restore(layout: Layout, flat: np.ndarray) -> ParamStore:
    store = ParamStore(layout)
    store.flat[...] = flat
    return store
