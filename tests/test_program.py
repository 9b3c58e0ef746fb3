"""The executor against the reference interpreter: op by op, buffer by buffer, over random networks."""

import itertools

import numpy as np
import pytest
from helpers import DTYPES, ISA_LEVELS, product_bound
from minidl.engine.execute import knows
from minidl.engine.program import BoundProgram
from training_steps import random_layers, random_step, value

from minidl import SGD, Dense, Sequential, activations, kernels, losses
from minidl.engine.builder import Builder
from minidl.engine.ops import FLAT, OPS, ROWS, TILES
from minidl.engine.params import ALIGNMENT, Layout, ParamStore
from minidl.engine.reference import FUNCTIONS
from minidl.lowering import Task, lower

# --- the vocabulary and the listing ---------------------------------------------------------------


def test_every_op_has_a_fast_and_a_plain_function():
    assert {name for name in OPS if knows(name)} == set(OPS)
    assert set(FUNCTIONS) == set(OPS)
    assert not knows("CONVOLUTION")
    assert [kind.code for kind in OPS.values()] == list(range(len(OPS)))
    assert {kind.cut for kind in OPS.values()} == {ROWS, TILES, FLAT}


def test_builder_refuses_missing_and_unknown_operands():
    builder = Builder("train", 4, "float32", Layout({}, "float32"))
    x = builder.work("x", 3)
    with pytest.raises(TypeError, match=r"ACTIVATION: missing operands \{'y'\}"):
        builder.emit("ACTIVATION", "0", x=x)
    with pytest.raises(TypeError, match=r"unknown operands \{'z'\}"):
        builder.emit("ACTIVATION", "0", x=x, y=x, z=x)
    with pytest.raises(ValueError, match="two buffers are called 'x'"):
        builder.work("x", 3)


def test_listing_shows_ops_buffers_work_and_threads():
    net = Sequential([Dense(7, "tanh"), Dense(3)], n_inputs=5, seed=0)
    unbound = str(net.program)
    assert "threads: not bound yet" in unbound
    net.fit(np.ones((8, 5)), np.arange(8) % 3, batch_size=4, verbose=0, n_threads=2)
    text = str(net.program)
    assert "program: train, batch 4, float32" in text
    assert "threads: 2" in text
    # two forward products, two weight gradients, one gradient of an activation
    assert net.program.flops() == 2 * 4 * (2 * 5 * 7 + 3 * 7 * 3)
    assert net.program.flops(1) == net.program.flops() / 4
    assert f"{net.program.flops() / 1e6:.4g} MFLOP" in text
    assert f"{net.program.bytes() / 1e6:.4g} MB per step" in text
    for op in net.program.ops:
        assert any(op.kind.name in line and op.text() in line for line in text.splitlines())
    for name, buffer in net.program.buffers.items():
        assert any(
            line.startswith(name) and buffer.arena in line and buffer.shape_text() in line
            for line in text.splitlines()
        )
    assert text.count("-- barrier --") == 2
    first = next(op for op in net.program.ops if op.kind.name == "DENSE")
    assert first.text() == "y0 <- x rows, 0.weight, 0.bias [tanh]"
    assert first.bytes(4) == 4 * (4 * 5 + 5 * 7 + 7 + 4 * 7)


@pytest.mark.parametrize(("purpose", "count"), [("train", 2), ("gradients", 1), ("evaluate", 0)])
def test_a_team_meets_twice_in_a_training_step(purpose, count):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        layers = [*random_layers(rng, 3), Dense(4)]
        net = Sequential(layers, n_inputs=3, seed=0)
        task = Task(purpose, losses.get("cross_entropy"), "label", gather=purpose == "train")
        program = lower(layers, 3, net.params.layout, task, 8)
        cuts = [op.kind.cut for op in program.ops]
        assert [cut for cut, _ in itertools.groupby(cuts)] == [ROWS, TILES, FLAT][: count + 1]
        barriers = [i for i, meet in enumerate(program.barriers()) if meet]
        assert barriers == [cuts.index(cut) for cut in (TILES, FLAT)[:count]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_buffers_of_the_work_arena_never_overlap(dtype):
    item = np.dtype(dtype).itemsize
    for seed in range(40):
        program = random_step(seed, dtype, 1 + seed % 9, seed % 2 == 0, seed % 3 == 0, 2).program
        work = [b for b in program.buffers.values() if b.arena == "work"]
        spans = sorted(
            (b.offset * item, b.offset * item + program.batch * b.stride * np.dtype(b.dtype).itemsize)
            for b in work
        )
        assert all(begin % ALIGNMENT == 0 for begin, _ in spans)
        assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(spans))
        assert spans[-1][1] <= program.work_size * item
        assert all(b.stride >= b.cols for b in work)


# --- executor against reference -------------------------------------------------------------------

GRID = [
    (rows, weighted, gather)
    for rows in (1, 2, 7, 33)
    for weighted in (False, True)
    for gather in (False, True)
]


@pytest.mark.parametrize(("rows", "weighted", "gather"), GRID)
def test_every_buffer_of_a_float64_step(rows, weighted, gather):
    for seed in range(21):
        step = random_step(100 * rows + seed, "float64", rows, weighted, gather, extra_rows=seed % 3)
        bound, results = step.run()
        reference, loss = step.reference()

        def check(name, got, expected):
            size = max(1.0, float(np.abs(expected).max(initial=0)))
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-13 * size, err_msg=name)

        compared = set()
        for name, buffer in step.program.buffers.items():
            if buffer.arena in ("work", "grad") and name in reference.values:
                expected = reference.values[name]
                got = value(bound, buffer, rows)
                check(f"{name} of seed {seed}", got.reshape(expected.shape), expected)
                compared.add(name)
        assert {"dy", "row loss"} <= compared
        assert sum(name.endswith("weight") for name in compared) == sum(
            name.endswith("weight") for name in step.params
        )
        check("params", bound.arenas["param"], reference.flat["param"])
        if step.velocity is not None:
            check("velocity", bound.arenas["state"], reference.flat["state"])
        assert not np.array_equal(bound.arenas["param"], step.params.flat)  # it did update
        weights = step.lent["weight"] if weighted else np.ones(len(step.lent["x"]))
        assert results[2] == (weights if step.index is None else weights[step.index]).sum()
        check("loss", results[0] / results[2], loss)


# --- every op alone, in both dtypes ---------------------------------------------------------------


def spread(function, spec, z, error):
    """How far a function moves when its argument moves by as much as `error`."""
    middle = function(spec, z)
    return np.maximum(np.abs(function(spec, z + error) - middle), np.abs(function(spec, z - error) - middle))


class Bounds:
    """The rounding error that minidl-num-1 allows each op, by the name of the output operand."""

    def __init__(self, dtype):
        self.dtype, self.eps, self.tiny = dtype, float(np.finfo(dtype).eps), np.finfo(dtype).tiny
        self.slope_errors: dict[str, np.ndarray] = {}  # of act'(z), by the buffer it is saved in

    def of(self, op, inputs, reference):
        """`inputs` holds operands as float64; `reference` has just run the op."""
        results = {name: reference.values.get(b.name) for name, b in outputs(op).items()}
        return getattr(self, op.kind.name.lower())(op, inputs, results, reference)

    def gather(self, op, inputs, results, reference):
        return {"y": 0.0}

    def dense(self, op, inputs, results, reference):
        z = inputs["x"] @ inputs["weight"] + inputs.get("bias", 0.0)
        error = product_bound(inputs["x"], inputs["weight"], self.dtype) + self.eps * (1 + np.abs(z))
        return self._activation(op, z, error, results)

    def activation(self, op, inputs, results, reference):
        return self._activation(op, inputs["x"], self.eps * np.abs(inputs["x"]), results)

    def _activation(self, op, z, error, results):
        """About 16 roundings for a function, and what the error of its argument does to it."""
        spec = op.attributes["activation"]
        slope = activations.derivative(spec, z)
        bounds = {
            "y": spread(activations.forward, spec, z, error) + 16 * self.eps * (1 + np.abs(results["y"])),
            "d": spread(activations.derivative, spec, z, error) + 16 * self.eps * (1 + np.abs(slope)),
        }
        if "d" in results:
            self.slope_errors[op.operands["d"].name] = bounds["d"]
        else:  # act' is computed from y, with a slope of less than 4
            self.slope_errors[op.operands["y"].name] = bounds["d"] + 4 * bounds["y"]
        return bounds

    def softmax(self, op, inputs, results, reference):
        x = inputs["x"]
        return {"y": results["y"] * self._row_unit(x) + self.tiny}

    def _row_unit(self, z):
        """Relative error of exp(z - max z) / sum: see the tests of the softmax and loss kernels."""
        span = float(np.ptp(z, axis=1).max()) if z.shape[1] > 1 else float(np.abs(z).max())
        return 2 * self.eps * (16 + z.shape[1] / 8 + span)

    def loss(self, op, inputs, results, reference):
        weight = inputs.get("weight", np.ones((len(inputs["z"]), 1)))
        unit = self._row_unit(inputs["z"]) * weight
        plain, _ = op.attributes["function"].reference(
            inputs["z"],
            inputs["target"].reshape(-1) if "label" in op.attributes["loss"] else inputs["target"],
        )
        slopes = 2 + np.abs(results["dz"]) * weight.sum() / np.maximum(weight, self.tiny)
        return {
            "row_loss": (unit[:, 0] * np.maximum(1, plain)),
            "dz": unit / weight.sum() * slopes + self.tiny,
        }

    def activation_grad(self, op, inputs, results, reference):
        error = self.slope_errors[op.operands["saved"].name]
        return {"dz": np.abs(inputs["dy"]) * error + 4 * self.eps * np.abs(results["dz"]) + self.tiny}

    def softmax_grad(self, op, inputs, results, reference):
        dy, y = np.abs(inputs["dy"]), inputs["y"]
        unit = 2 * self.eps * (4 + y.shape[1] / 8)
        return {"dz": unit * y * (dy + (dy * y).sum(axis=1, keepdims=True)) + self.tiny}

    def dense_dx(self, op, inputs, results, reference):
        dz, weight = inputs["dz"], inputs["weight"]
        error = product_bound(dz, weight.T, self.dtype)
        if "saved" in op.operands:
            saved = op.operands["saved"].name
            error = error * np.abs(reference.derivatives[saved])
            error += (np.abs(dz) @ np.abs(weight.T)) * self.slope_errors[saved]
        return {"dx": error + 4 * self.eps * np.abs(results["dx"])}

    def dense_dw(self, op, inputs, results, reference):
        ones = np.ones((1, len(inputs["dz"])))
        return {
            "dweight": product_bound(inputs["x"].T, inputs["dz"], self.dtype),
            "dbias": product_bound(ones, inputs["dz"], self.dtype)[0],
        }


def outputs(op):
    names = [name.rstrip("?") for name in op.kind.writes]
    return {name: op.operands[name] for name in names if name in op.operands}


def after_ops(step, count):
    """Run the first ops of a step; return every buffer that they left, as float64."""
    bound, _ = step.run(ops=count)
    values = {}
    for name, buffer in step.program.buffers.items():
        if buffer.arena == "bound":
            array = step.lent[name]
            values[name] = array.reshape(-1, 1) if array.ndim == 1 else array
        elif buffer.arena == "work" or name in step.params or name[1:] in step.params:
            values[name] = value(bound, buffer, step.rows)
    return {n: v if v.dtype == np.int64 else v.astype(np.float64) for n, v in values.items()}, bound


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rows", "weighted", "gather"), GRID)
def test_every_op_alone_errs_by_no_more_than_the_contract_allows(dtype, rows, weighted, gather):
    for seed in range(7):
        step = random_step(1000 * rows + seed, dtype, rows, weighted, gather, extra_rows=seed % 2)
        reference, _ = step.reference()
        bounds = Bounds(dtype)
        before, _ = after_ops(step, 0)
        for position, op in enumerate(step.program.ops):
            if op.kind.name == "SGD":
                continue
            after, _ = after_ops(step, position + 1)
            inputs = {name: before[b.name] for name, b in op.operands.items() if b.name in before}
            reference.values = dict(before)
            FUNCTIONS[op.kind.name](reference, op)
            allowed = bounds.of(op, inputs, reference)
            for operand, buffer in outputs(op).items():
                if operand == "row_hit":
                    continue
                expected = np.asarray(reference.values[buffer.name])
                error = np.abs(after[buffer.name].reshape(expected.shape) - expected)
                assert np.all(error <= allowed[operand]), (seed, op.kind.name, operand, error.max())
            before = after
        # the update, from the gradients that the executor found
        bound, _ = step.run()
        w, g = step.params.flat, bound.arenas["grad"]
        v = None if step.velocity is None else step.velocity.flat
        expected, _ = step.sgd.reference(w, g, None if step.first_update else v, step.sgd.lr)
        size = np.abs(w) + np.abs(g) + (0 if v is None else np.abs(v))
        assert np.all(np.abs(bound.arenas["param"] - expected) <= 5 * bounds.eps * size)


@pytest.mark.parametrize("dtype", DTYPES)
def test_hits_are_counted_by_the_argmax(dtype):
    for seed in (0, 7, 14, 21):  # cross entropy by label
        step = random_step(seed, dtype, 33, False, True)
        bound, results = step.run()
        logits = next(op for op in step.program.ops if op.kind.name == "LOSS").operands["z"]
        right = bound.view(logits.name).argmax(axis=1) == step.lent["target"][step.index]
        assert results[1] == right.sum()


# --- memory that must not matter ------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_memory_held_before_does_not_matter(dtype):
    for seed in range(60):
        step = random_step(seed, dtype, (1, 2, 7, 33)[seed % 4], seed % 3 == 0, seed % 2 == 0, 3)
        plain, results = step.run()
        poisoned, again = step.run(poison=np.nan)
        np.testing.assert_array_equal(results, again)
        for arena in ("param", "grad", "state"):
            if plain.arenas[arena] is not None:
                assert np.isfinite(plain.arenas[arena]).all()
                assert plain.arenas[arena].tobytes() == poisoned.arenas[arena].tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_threads", [1, 3])
def test_pads_of_the_flat_vectors_stay_zero(dtype, n_threads):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(90, 5)), rng.integers(0, 9, 90)
    net = Sequential([Dense(17, "tanh"), Dense(33, "relu"), Dense(9)], seed=0, dtype=dtype)
    sgd = SGD(lr=0.05, momentum=0.9, weight_decay=0.01)
    net.fit(X, y, optimizer=sgd, batch_size=9, epochs=5, verbose=0, n_threads=n_threads)
    assert net.training.steps == 50
    inside = np.zeros(net.params.layout.size, bool)
    for name in net.params:
        net.params.layout.view(inside, name)[...] = True
    assert inside.sum() == net.params.count < len(inside)
    for store in (net.params, net.grads, net.training.velocity):
        assert not store.flat[~inside].any()
        assert np.count_nonzero(store.flat[inside]) > 0.3 * net.params.count


# --- few rows: dz W^T with the roles swapped ------------------------------------------------------


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("level", ISA_LEVELS)
def test_gradients_of_activations_do_not_depend_on_how_many_rows_there_are(level, dtype, n_threads):
    """The mean over 2^n rows scales the gradient of each row by a power of two, and changes no other bit.

    A row alone never has its roles swapped; many rows have, in layers of one and several blocks of 256.
    Derivatives are saved as such (gelu), or follow from the output (tanh, relu).
    """
    layers = [Dense(300, "gelu"), Dense(600, "tanh"), Dense(128, "relu"), Dense(200)]
    rng = np.random.default_rng(0)
    X, target = rng.normal(size=(64, 20)).astype(dtype), rng.normal(size=(64, 200)).astype(dtype)
    with kernels.use_isa(level):
        net = Sequential(layers, n_inputs=20, seed=0, dtype=dtype)
        layout = net.params.layout
        program = lower(net.layers, 20, layout, Task("gradients", losses.MSE(), "real"), 64)
        bound = BoundProgram(program, net.params.flat, ParamStore(layout).flat)

        def gradients(first, stop):
            bound.lend({"x": X[first:stop], "target": target[first:stop]})
            bound.run(stop - first, 0, 1, np.zeros((3, 1)), n_threads=n_threads)
            return [bound.view(f"dy{i}")[: stop - first] * X.dtype.type(stop - first) for i in range(3)]

        alone = [np.concatenate(rows) for rows in zip(*(gradients(r, r + 1) for r in range(64)), strict=True)]
        for rows in (16, 32, 64):
            for together, apart in zip(gradients(0, rows), alone, strict=True):
                assert np.abs(apart).max() > 0
                np.testing.assert_array_equal(together, apart[:rows])
