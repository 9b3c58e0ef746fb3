"""Every op of the engine's vocabulary, one at a time: one class each, named as in a printed program.

An op runs many times inside one call, without Python in between: often enough for about a million elements of
its operands. So the time of a call is that of the op, and not that of calling it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from minidl.engine.program import FINISHED, BoundProgram

from minidl import activations, kernels, losses, optim
from minidl.engine.builder import Builder
from minidl.engine.ops import OPS
from minidl.engine.params import Layout, aligned_zeros
from minidl.kernels import machine

from .common import THREADS, choose, clock, use_threads

DTYPES = choose(("float32",), ("float32", "float64"), ("float32", "float64"))
LEVELS = choose(("best",), ("best",), ("best", "portable", "x86-64-v3", "x86-64-v4", "neon"))
ELEMENTS = 2**20  # operand elements of a call, about

# Shapes lie in the L1 cache, in L2, and beyond; some are awkward.
ROW_SHAPES = choose(
    ((128, 256), (100, 17)),
    ((16, 16), (128, 256), (512, 2048), (100, 17), (3, 1000)),
    ((16, 16), (64, 64), (128, 256), (256, 1024), (512, 2048), (100, 17), (3, 1000), (1, 1)),
)
PRODUCT_SHAPES = choose(
    ((128, 784, 256), (100, 17, 33)),
    ((16, 16, 16), (128, 784, 256), (128, 100, 100), (512, 2048, 2048), (1, 784, 256), (100, 17, 33)),
    (
        (16, 16, 16),
        (32, 64, 128),
        (128, 784, 256),
        (128, 100, 100),
        (256, 1024, 1024),
        (512, 2048, 2048),
        (1, 784, 256),
        (100, 17, 33),
        (3, 1000, 1),
    ),
)
VECTOR_SIZES = choose((235_000,), (1000, 235_000, 6_000_000), (1000, 50_000, 235_000, 6_000_000))
CLASSES = choose((10,), (10, 1000), (2, 10, 1000))
NAMES = choose(("relu", "tanh"), ("relu", "tanh", "gelu", "selu", "sigmoid", "silu"), None)
if NAMES is None:
    NAMES = tuple(name for name in activations.names() if name not in ("identity", "softmax"))


@dataclass(frozen=True)
class Case:
    """One op with its shape.

    Attributes
    ----------
    name : str
        As the page shows it: shape and function.
    rows : int
        Of the batch.
    emit : callable
        Writes the op, and what it cannot do without, with a builder; the op is the last.
    shapes : dict
        Of the parameters.
    """

    name: str
    rows: int
    emit: Callable[[Builder], None]
    shapes: dict[str, tuple[int, ...]]


# --- one function per op: its cases ---------------------------------------------------------------


def gather():
    for rows, cols in ROW_SHAPES:

        def emit(b, cols=cols):
            b.emit("GATHER", "0", source=b.bound("x", cols), y=b.work("x rows", cols))

        yield Case(f"{rows}x{cols}", rows, emit, {})


def _dense_shapes(fan_in: int, fan_out: int) -> dict:
    return {"0.weight": (fan_in, fan_out), "0.bias": (fan_out,)}


def dense():
    for rows, fan_in, fan_out in PRODUCT_SHAPES:
        for name in choose(("relu",), ("relu", "gelu"), ("identity", "relu", "gelu")):

            def emit(b, fan_in=fan_in, fan_out=fan_out, name=name):
                act = activations.get(name)
                b.emit(
                    "DENSE",
                    "0",
                    {"fan_in": fan_in, "fan_out": fan_out, "activation": act},
                    x=b.work("x", fan_in),
                    weight=b.parameter("0.weight"),
                    bias=b.parameter("0.bias"),
                    y=b.work("y", fan_out),
                    d=b.work("d", fan_out) if act.saves == "derivative" else None,
                )

            yield Case(f"{rows}x{fan_in}x{fan_out} {name}", rows, emit, _dense_shapes(fan_in, fan_out))


def dense_dx():
    for rows, fan_in, fan_out in PRODUCT_SHAPES:

        def emit(b, fan_in=fan_in, fan_out=fan_out):
            b.emit(
                "DENSE_DX",
                "0",
                {"fan_in": fan_in, "fan_out": fan_out, "activation": activations.get("relu")},
                dz=b.work("dz", fan_out),
                weight=b.parameter("0.weight"),
                saved=b.work("saved", fan_in),
                dx=b.work("dx", fan_in),
            )

        yield Case(f"{rows}x{fan_in}x{fan_out} relu", rows, emit, _dense_shapes(fan_in, fan_out))


def dense_dw():
    for rows, fan_in, fan_out in PRODUCT_SHAPES:

        def emit(b, fan_in=fan_in, fan_out=fan_out):
            b.emit(
                "DENSE_DW",
                "0",
                {"fan_in": fan_in, "fan_out": fan_out},
                x=b.work("x", fan_in),
                dz=b.work("dz", fan_out),
                dweight=b.gradient("0.weight"),
                dbias=b.gradient("0.bias"),
            )

        yield Case(f"{rows}x{fan_in}x{fan_out}", rows, emit, _dense_shapes(fan_in, fan_out))


def guard():
    for rows, cols in ROW_SHAPES:

        def emit(b, cols=cols):
            bound = b.work("bound", 2, "float64")
            b.emit("GUARD", "0", x=b.work("x", cols), dz=b.work("dz", cols), bound=bound)

        yield Case(f"{rows}x{cols}", rows, emit, {})


def activation():
    for rows, cols in ROW_SHAPES:
        for name in NAMES:

            def emit(b, cols=cols, name=name):
                act = activations.get(name)
                d = b.work("d", cols) if act.saves == "derivative" else None
                b.emit("ACTIVATION", "0", {"activation": act}, x=b.work("x", cols), y=b.work("y", cols), d=d)

            yield Case(f"{rows}x{cols} {name}", rows, emit, {})


def activation_grad():
    for rows, cols in ROW_SHAPES:
        for name in NAMES:

            def emit(b, cols=cols, name=name):
                operands = {key: b.work(key, cols) for key in ("dy", "saved", "dz")}
                b.emit("ACTIVATION_GRAD", "0", {"activation": activations.get(name)}, **operands)

            yield Case(f"{rows}x{cols} {name}", rows, emit, {})


def softmax():
    for rows, cols in ROW_SHAPES:

        def emit(b, cols=cols):
            b.emit("SOFTMAX", "0", x=b.work("x", cols), y=b.work("y", cols))

        yield Case(f"{rows}x{cols}", rows, emit, {})


def softmax_grad():
    for rows, cols in ROW_SHAPES:

        def emit(b, cols=cols):
            b.emit("SOFTMAX_GRAD", "0", dy=b.work("dy", cols), y=b.work("y", cols), dz=b.work("dz", cols))

        yield Case(f"{rows}x{cols}", rows, emit, {})


def _emit_loss(b: Builder, name: str, kind: str, cols: int) -> None:
    function = losses.get(name)
    label = kind == "label"
    b.emit(
        "LOSS",
        "loss",
        {"loss": function.kernel_names[kind], "params": function.params, "function": function},
        z=b.work("z", cols),
        target=b.work("target", 1 if label else cols, "int64" if label else None),
        dz=b.work("dz", cols),
        row_loss=b.work("row loss", 1, "float64"),
        row_hit=b.work("row hit", 1, "float64"),
    )


def loss():
    for cols in CLASSES:
        for name, kind in (("cross_entropy", "label"), ("mse", "real")):

            def emit(b, cols=cols, name=name, kind=kind):
                _emit_loss(b, name, kind, cols)

            yield Case(f"128x{cols} {name}", 128, emit, {})


def sgd():
    for size in VECTOR_SIZES:

        def emit(b):
            _emit_loss(b, "mse", "real", 1)  # an update follows a loss: of one row, next to nothing
            names = {"grads": "grad", "velocity": "state", "params": "param"}
            b.emit("SGD", "0", **{name: b.flat(arena) for name, arena in names.items()})

        yield Case(f"{size} momentum", 1, emit, {"0.bias": (size,)})


CASES = {
    "GATHER": gather,
    "DENSE": dense,
    "ACTIVATION": activation,
    "SOFTMAX": softmax,
    "LOSS": loss,
    "ACTIVATION_GRAD": activation_grad,
    "SOFTMAX_GRAD": softmax_grad,
    "DENSE_DX": dense_dx,
    "GUARD": guard,
    "DENSE_DW": dense_dw,
    "SGD": sgd,
}


def check_vocabulary(ops=OPS, cases=CASES) -> None:
    """Raise if an op has no benchmark. One that this version does not have yet is skipped."""
    if missing := sorted(set(ops) - set(cases)):
        raise RuntimeError(  # asv would take NotImplementedError for a skip
            f"no benchmark for {', '.join(missing)}: add its cases to benchmarks/suite/kernels.py."
        )


check_vocabulary()


# --- running them ---------------------------------------------------------------------------------


class Runner:
    """A program of one op, bound to memory that is filled and has been touched."""

    def __init__(self, case: Case, dtype: str):
        layout = Layout(case.shapes, dtype)
        builder = Builder("train", case.rows, dtype, layout)
        case.emit(builder)
        self.program, self.rows = builder.program, case.rows
        self.op = self.program.ops[-1]
        rng = np.random.default_rng(0)
        vectors = [aligned_zeros(layout.size, dtype) for _ in range(3)]  # parameters, gradients, velocity
        for vector in vectors:
            vector[...] = 0.1 * rng.standard_normal(layout.size)
        self.bound = BoundProgram(self.program, *vectors)
        lent = {}
        for buffer in self.program.buffers.values():
            if buffer.arena == "work":
                view = self.bound.view(buffer.name)
                view[...] = (
                    rng.integers(2, size=view.shape) if buffer.dtype == "int64" else rng.random(view.shape)
                )
            elif buffer.arena == "bound":
                lent[buffer.name] = rng.standard_normal((4096, buffer.cols)).astype(dtype)
        self.bound.lend(lent)
        operands = self.op.operands.values()
        self.elements = sum((case.rows if b.rows is None else b.rows) * b.cols for b in operands)
        self.repeats = max(1, round(ELEMENTS / self.elements))
        self.results = np.zeros((3, self.repeats))
        self.options = {
            "index": rng.integers(4096, size=self.repeats * case.rows) if lent else None,
            "lr": np.zeros(self.repeats),  # nothing moves
            "sgd": optim.SGD(momentum=0.9),
        }

    def __call__(self, n_threads: int) -> None:
        """Run the op so many times, in one call."""
        done, status = self.bound.run(
            self.rows * self.repeats,
            0,
            self.repeats,
            self.results,
            n_threads=n_threads,
            seconds=math.inf,
            **self.options,
        )
        if (done, status) != (self.repeats, FINISHED):
            raise RuntimeError(f"stopped after {done} of {self.repeats} runs with status {status}")

    def seconds(self, n_threads: int, samples: int = 7) -> float:
        """Return the median time of the op."""
        self(n_threads)
        times = []
        for _ in range(samples):
            started = clock()
            self(n_threads)
            times.append(clock() - started)
        return sorted(times)[samples // 2] / self.repeats


def use(level: str, n_threads: int) -> None:
    """Choose instruction set level and CPUs, or skip what this machine does not have."""
    use_threads(n_threads)
    if level != "best":
        if level not in kernels.available_isa():
            raise NotImplementedError(f"{level} is not available here")
        kernels.set_isa(level)


def setup_cache() -> dict:
    """Measure the roofs of the machine: GFLOP/s of multiply-adds, GB/s of a copy."""
    roofs = {"fma": {}, "copy": {}}
    best = kernels.isa()
    for n_threads in THREADS:
        for level in LEVELS:
            try:
                use(level, n_threads)
            except NotImplementedError:
                continue
            for dtype in DTYPES:
                roofs["fma"][dtype, level, n_threads] = machine.fma_peak(dtype, n_threads)
            kernels.set_isa(best)
            roofs["copy"][n_threads] = machine.copy_bandwidth(n_threads=n_threads)
    return roofs


setup_cache.timeout = 300


class _Op:
    """What every op is asked."""

    op: str
    cases: dict[str, Case]
    param_names = ("case", "dtype", "isa", "threads")
    timeout = 300
    rounds = 4  # processes for each time: what slows one of them down should not look like a change
    timer = staticmethod(clock)
    version = "1"  # of the work: raised by hand when it changes

    def setup(self, roofs, case, dtype, level, n_threads):
        if self.op not in OPS:
            raise NotImplementedError(f"this version has no op {self.op}")
        use(level, n_threads)
        self.run = Runner(self.cases[case], dtype)
        self.run(n_threads)

    def time_op(self, roofs, case, dtype, level, n_threads):
        self.run(n_threads)

    def track_ns_per_element(self, roofs, case, dtype, level, n_threads):
        return 1e9 * self.run.seconds(n_threads) / self.run.elements

    track_ns_per_element.unit = "ns per operand element"

    def track_bytes(self, roofs, case, dtype, level, n_threads):
        return self.run.op.bytes(self.run.rows)

    track_bytes.unit = "bytes of operands"


class _Product(_Op):
    """A matrix product is also asked how far it is from the peak."""

    def track_percent_of_peak_lost(self, roofs, case, dtype, level, n_threads):
        seconds = self.run.seconds(n_threads)
        # clocks change: the better of before and now is the roof
        peak = max(roofs["fma"][dtype, level, n_threads], machine.fma_peak(dtype, n_threads))
        return 100.0 * (1.0 - 1e-9 * self.run.op.flops(self.run.rows) / seconds / peak)

    track_percent_of_peak_lost.unit = "% of FMA peak lost"


PRODUCTS = ("DENSE", "DENSE_DX", "DENSE_DW")
for _name, _function in CASES.items():
    _cases = {case.name: case for case in _function()}
    globals()[_name] = type(
        _name,
        (_Product if _name in PRODUCTS else _Op,),
        {
            "__module__": __name__,
            "op": _name,
            "cases": _cases,
            "params": (tuple(_cases), DTYPES, LEVELS, THREADS),
        },
    )


class FMAPeak:
    """What one floating-point operation takes at least: the roof of the products."""

    params = (DTYPES, LEVELS, THREADS)
    param_names = ("dtype", "isa", "threads")
    version = "1"

    def track_ps_per_flop(self, roofs, dtype, level, n_threads):
        if (dtype, level, n_threads) not in roofs["fma"]:
            return math.nan
        return 1e3 / roofs["fma"][dtype, level, n_threads]

    track_ps_per_flop.unit = "ps per flop"


class Copy:
    """What one byte takes at least, read or written, in memory: the roof of everything else."""

    params = (THREADS,)
    param_names = ("threads",)
    version = "1"

    def track_ps_per_byte(self, roofs, n_threads):
        return 1e3 / roofs["copy"][n_threads] if n_threads in roofs["copy"] else math.nan

    track_ps_per_byte.unit = "ps per byte"
