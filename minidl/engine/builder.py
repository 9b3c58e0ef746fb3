"""Programs and the builder that layers write them with.

A program is data: a list of ops over named buffers, for one batch size and one dtype. It holds no memory
and no pointers, so it can be printed, compared and run by two engines.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from minidl.engine.ops import OPS, ROWS, OpKind
from minidl.engine.params import ALIGNMENT, Layout, leading_dimension

# Where a buffer lives.
ARENAS = {
    "param": "the flat vector of parameters",
    "grad": "the flat vector of gradients",
    "state": "the flat vector of optimizer state",
    "work": "memory of the program: activations and their gradients, one batch",
    "bound": "an array that the caller lends for one run: inputs, targets, outputs",
}


@dataclass(frozen=True)
class Buffer:
    """A named matrix of a program.

    Attributes
    ----------
    name : str
    arena : str
        A key of ARENAS.
    rows : int or None
        None stands for the rows of the batch.
    cols : int
    offset : int
        First element inside the arena (0 for bound buffers).
    stride : int
        Elements between rows (0 for bound buffers: known when bound).
    dtype : str
    """

    name: str
    arena: str
    rows: int | None
    cols: int
    offset: int
    stride: int
    dtype: str

    def shape_text(self) -> str:
        """Return the shape with "B" for the rows of the batch."""
        return f"({'B' if self.rows is None else self.rows}, {self.cols})"


@dataclass(frozen=True)
class Op:
    """One op of a program: its kind, its operands by name, its attributes."""

    kind: OpKind
    layer: str
    operands: dict[str, Buffer]
    attributes: dict

    def flops(self, rows: int) -> float:
        """Floating-point operations for a batch of so many rows."""
        return self.kind.flops(rows, self.attributes)

    @property
    def cut(self) -> str:
        """How threads share this op: as its kind says, unless its layer chose otherwise."""
        return self.attributes.get("cut", self.kind.cut)

    def bytes(self, rows: int) -> int:
        """Bytes of all operands, each counted once."""
        return sum(
            (rows if b.rows is None else b.rows) * b.cols * np.dtype(b.dtype).itemsize
            for b in self.operands.values()
        )

    def read(self) -> list[str]:
        """Names of the operands that this op has and reads."""
        return [key for key in (name.rstrip("?") for name in self.kind.reads) if key in self.operands]

    def written(self) -> list[str]:
        """Names of the operands that this op has and writes."""
        return [key for key in (name.rstrip("?") for name in self.kind.writes) if key in self.operands]

    def text(self) -> str:
        """Return the op as an assignment: outputs <- inputs."""
        outputs = [self.operands[key].name for key in self.written()]
        inputs = [self.operands[key].name for key in self.read()]
        options = [str(self.attributes[key]) for key in ("activation", "loss") if self.attributes.get(key)]
        options = [f"[{option}]" for option in options if option != "identity"]
        if "lr_factor" in self.attributes:
            options.append(f"[{self.attributes['lr_factor']:.6g} lr]")
        return f"{', '.join(outputs)} <- {', '.join(inputs)} {' '.join(options)}".rstrip()


@dataclass(frozen=True)
class Value:
    """A tensor that flows between layers: y = act(z), and what its backward pass needs.

    Attributes
    ----------
    buffer : Buffer
        Holds y.
    needs_gradient : bool
        False for the input: nothing below it has parameters.
    activation : object
        The activation that turned z into y, "softmax", or None.
    saved : Buffer or None
        y or act'(z), whichever the derivative of the activation is computed from.
    """

    buffer: Buffer
    needs_gradient: bool
    activation: object = None
    saved: Buffer | None = None


@dataclass
class Program:
    """A list of ops over named buffers, for one batch size and one dtype.

    Attributes
    ----------
    purpose : str
        "train", "gradients", "evaluate" or "predict".
    batch : int
        Most rows of one step.
    dtype : str
    layout : Layout
        Of the flat vectors.
    ops : list of Op
    work_size : int
        Elements of the work arena.
    """

    purpose: str
    batch: int
    dtype: str
    layout: Layout
    ops: list[Op] = field(default_factory=list)
    buffers: dict[str, Buffer] = field(default_factory=dict)
    work_size: int = 0
    n_threads: int | None = None

    def flops(self, rows: int | None = None) -> float:
        """Floating-point operations of one step."""
        return sum(op.flops(self.batch if rows is None else rows) for op in self.ops)

    def bytes(self) -> int:
        """Bytes that the ops of one step read and write, each operand counted once per op."""
        return sum(op.bytes(self.batch) for op in self.ops)

    def barriers(self) -> list[bool]:
        """Return for each op whether a team must meet before it: it reads what other threads wrote."""
        meet: list[bool] = []
        written: set[str] = set()  # since the last meeting
        cut = None
        for op in self.ops:
            # of an op cut by rows, a thread reads only the rows that it wrote itself
            reads_others = op.cut != ROWS and any(op.operands[name].name in written for name in op.read())
            meet.append(cut is not None and (op.cut != cut or reads_others))
            if meet[-1]:
                written.clear()
            written.update(op.operands[name].name for name in op.written())
            cut = op.cut
        return meet

    def bound(self) -> list[str]:
        """Names of the buffers that the caller lends."""
        return [name for name, buffer in self.buffers.items() if buffer.arena == "bound"]

    def __str__(self) -> str:
        return listing(self)


class Builder:
    """Collects the ops and buffers of one program; layers call it from ``lower``.

    Parameters
    ----------
    purpose, batch, dtype, layout
        As in :class:`Program`.
    """

    def __init__(self, purpose: str, batch: int, dtype: str, layout: Layout):
        self.program = Program(purpose, batch, np.dtype(dtype).name, layout)
        self.training = purpose in ("train", "gradients")
        self._late: list[tuple] = []

    def parameter(self, name: str) -> Buffer:
        """Return the buffer of a parameter."""
        return self._tensor(name, "param")

    def gradient(self, name: str) -> Buffer:
        """Return the buffer of a parameter's gradient."""
        return self._tensor(name, "grad")

    def flat(self, arena: str, start: int = 0, stop: int | None = None) -> Buffer:
        """Return a flat vector, or a range of it, as one row."""
        size = self.program.layout.size
        stop = size if stop is None else stop
        name = f"{arena}s" if (start, stop) == (0, size) else f"{arena}s[{start}:{stop}]"
        return self._add(Buffer(name, arena, 1, stop - start, start, stop - start, self.program.dtype))

    def bound(self, name: str, cols: int, dtype: str | None = None) -> Buffer:
        """Return a buffer that the caller lends, one row per row of the batch."""
        return self._add(Buffer(name, "bound", None, cols, 0, 0, dtype or self.program.dtype))

    def work(self, name: str, cols: int, dtype: str | None = None) -> Buffer:
        """Return new memory of the program, one row per row of the batch, rows 64-byte aligned."""
        dtype = np.dtype(dtype or self.program.dtype)
        unit = np.dtype(self.program.dtype).itemsize
        stride = leading_dimension(cols, dtype)
        offset = self.program.work_size
        elements = -(-self.program.batch * stride * dtype.itemsize // ALIGNMENT) * (ALIGNMENT // unit)
        self.program.work_size = offset + elements
        return self._add(Buffer(name, "work", None, cols, offset, stride, dtype.name))

    def emit(self, kind: str, layer: str, attributes: dict | None = None, **operands: Buffer | None):
        """Append an op; operands that are None are left out."""
        op_kind = OPS[kind]
        given = {name: buffer for name, buffer in operands.items() if buffer is not None}
        missing = set(op_kind.required()) - set(given)
        unknown = set(given) - set(op_kind.operands)
        if missing or unknown:
            raise TypeError(f"{kind}: missing operands {missing}, unknown operands {unknown}")
        self.program.ops.append(Op(op_kind, layer, given, attributes or {}))

    def emit_late(self, *arguments, **operands: Buffer | None):
        """Append an op after all others of the backward pass: see :meth:`flush`."""
        self._late.append((arguments, operands))

    def guard(self) -> None:
        """Append a GUARD for each weight gradient to come, so that its update may follow at once."""
        for (kind, layer, *_), operands in self._late:
            if kind == "DENSE_DW":
                bound = self.work(f"bound{layer}", 2, "float64")
                self.emit("GUARD", layer, x=operands["x"], dz=operands["dz"], bound=bound)

    def flush(self) -> None:
        """Append the late ops: the weight gradients, behind one barrier for all of them."""
        for arguments, operands in self._late:
            self.emit(*arguments, **operands)
        self._late.clear()

    def _tensor(self, name: str, arena: str) -> Buffer:
        layout = self.program.layout
        shape = layout.shapes[name]
        rows = shape[0] if len(shape) == 2 else 1
        label = name if arena == "param" else f"d{name}"
        return self._add(
            Buffer(
                label,
                arena,
                rows,
                shape[-1],
                layout.offsets[name],
                layout.strides[name],
                layout.dtype.name,
            )
        )

    def _add(self, buffer: Buffer) -> Buffer:
        known = self.program.buffers.setdefault(buffer.name, buffer)
        if known != buffer:
            raise ValueError(f"two buffers are called {buffer.name!r}")
        return buffer


def listing(program: Program) -> str:
    """Return a program as text: ops, then buffers, then totals."""
    rows = program.batch
    lines = [
        f"program: {program.purpose}, batch {rows}, {program.dtype}, "
        f"{program.flops() / 1e6:.4g} MFLOP and {program.bytes() / 1e6:.4g} MB per step, "
        f"threads: {program.n_threads if program.n_threads else 'not bound yet'}",
        "",
        f"{'':>3}  {'op':<16}{'layer':<10}{'cut':<7}{'kFLOP':>10}{'kB':>10}   what",
    ]
    for position, (op, meet) in enumerate(zip(program.ops, program.barriers(), strict=True)):
        if meet:
            lines.append(f"{'':>3}  -- barrier --")
        lines.append(
            f"{position:>3}  {op.kind.name:<16}{op.layer:<10}{op.cut:<7}"
            f"{op.flops(rows) / 1e3:>10.5g}{op.bytes(rows) / 1e3:>10.4g}   {op.text()}"
        )
    lines += ["", f"{'buffer':<18}{'arena':<8}{'shape':<16}{'stride':>8}{'offset':>10}  dtype"]
    for buffer in program.buffers.values():
        bound = buffer.arena == "bound"
        lines.append(
            f"{buffer.name:<18}{buffer.arena:<8}{buffer.shape_text():<16}"
            f"{'-' if bound else buffer.stride:>8}{'-' if bound else buffer.offset:>10}  {buffer.dtype}"
        )
    return "\n".join(lines)
