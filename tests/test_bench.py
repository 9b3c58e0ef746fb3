"""``minidl bench``: what it prints and writes, and what it refuses. No time is ever compared with a limit."""

import json
import math
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import minidl
from minidl import bench, kernels
from minidl.errors import DtypeError, OptionError
from minidl.lowering import Task


def run(folder, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "minidl", "bench", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "HOME": str(folder)},
    )
    return done.returncode, done.stdout, done.stderr


def check_row(row, peaks):
    """The numbers of a row are finite, ordered, and follow from each other."""
    assert 0 < row["p10_us"] <= row["median_us"] <= row["p90_us"] < math.inf
    assert row["flops"] >= 0
    assert row["gflops"] == pytest.approx(row["flops"] / row["median_us"] / 1000)
    assert row["of_peak"] == pytest.approx(row["gflops"] / peaks[str(row["threads"])])


# --- widths ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sizes"),
    [("4-3", [4, 3]), ("784-30x100-10", [784, *[100] * 30, 10]), ("2x5", [5, 5]), ("1x7-1", [7, 1])],
)
def test_widths(text, sizes):
    assert bench.parse_sizes(text) == sizes


@pytest.mark.parametrize(
    "text", ["", "4", "784-x", "784--10", "-4-3", "4-0", "0x4-3", "4-3.5", "4,3", "4x", "x4-3"]
)
def test_wrong_widths(text):
    with pytest.raises(OptionError, match=r"net=.*expected"):
        bench.parse_sizes(text)


# --- the record -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("outputs", [3, 1])
def test_the_record(outputs, n_threads, dtype):
    kernels.set_num_threads(n_threads)
    record = bench.bench([5, 7, outputs], "tanh", 6, dtype, seconds=0.0, ops=True)
    assert record["net"] == {
        "sizes": [5, 7, outputs], "activation": "tanh", "batch": 6, "dtype": dtype,
        "parameters": 5 * 7 + 7 + 7 * outputs + outputs,
    }  # fmt: skip
    facts = record["machine"]
    assert (facts["isa"], facts["threads"]) == (kernels.isa(), n_threads)
    assert set(facts["peak_gflops"]) == {"1", str(n_threads)}
    for rate in (*facts["peak_gflops"].values(), *(facts[name] for name in bench.RATES)):
        assert 0 < rate < math.inf
    assert ("from core to core" in bench.report(record)) == (n_threads > 1)
    assert [row["name"] for row in record["phases"]] == ["train step", "predict 6 rows", "predict 1 row"]
    products = 2 * (5 * 7 + 7 * outputs)
    # forward, two gradients, without that of the input
    flops = [6 * (3 * products - 2 * 5 * 7), 6 * products, products]
    assert [row["flops"] for row in record["phases"]] == flops
    for row in record["phases"] + record["ops"]:
        check_row(row, facts["peak_gflops"])
        assert row["threads"] == 1  # so little work does not wake a team
    assert sum(row["flops"] for row in record["ops"]) == flops[0]
    assert {"GATHER", "DENSE", "LOSS", "DENSE_DX", "DENSE_DW", "SGD"} == {
        row["name"] for row in record["ops"]
    }
    assert all(0 < row["gb_s"] < math.inf for row in record["ops"])


def test_a_batch_of_one_row_is_predicted_once():
    record = bench.bench([3, 2], batch=1, seconds=0.0)
    assert [row["name"] for row in record["phases"]] == ["train step", "predict 1 row"]
    assert record["net"]["activation"] == "identity"  # there is no hidden layer


def test_work_for_a_team_is_set_against_the_peak_of_the_team():
    kernels.set_num_threads(2)
    record = bench.bench([256, 512, 10], batch=256, seconds=0.0)
    row = record["phases"][0]
    assert row["threads"] in (1, 2)  # whichever was faster when it was tried
    check_row(row, record["machine"]["peak_gflops"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch": 0}, "batch=0: expected an integer >= 1"),
        ({"seconds": -1.0}, "seconds=-1.0: expected a finite number >= 0"),
        ({"seconds": math.inf}, "seconds=inf: expected a finite number >= 0"),
        ({"activation": "rellu"}, "Did you mean 'relu'"),
    ],
)
def test_wrong_options(options, words):
    with pytest.raises(OptionError, match=words):
        bench.bench([3, 4, 2], **options)


def test_wrong_dtype():
    with pytest.raises(DtypeError, match="dtype='float16'"):
        bench.bench([3, 2], dtype="float16")


# --- the ops, one by one --------------------------------------------------------------------------


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_timing_the_ops_runs_them_and_learns_nothing(n_threads):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20, 4)), rng.integers(3, size=20)
    net = minidl.MLP([4, 8, 3], "gelu", seed=0, dtype="float64")
    net.gradients(x[:8], y[:8])
    expected, before = net.grads.flat.copy(), net.params.flat.copy()
    net.fit(x, y, optimizer=minidl.SGD(momentum=0.9), batch_size=8, verbose=0)
    net.params.flat[...] = before
    net.grads.flat[...] = np.nan
    task = Task("train", net.training.loss, "label", velocity=True, gather=True)
    with net.borrow(task, 8) as program:
        program.lend({"x": x, "target": y.astype(np.int64).reshape(-1, 1)})
        seconds = program.time_ops(20, 5, index=np.arange(20), n_threads=n_threads)
        assert seconds.shape == (5, len(program.program.ops))
    assert (seconds >= 0).all()
    assert (seconds.sum(axis=1) > 0).all()
    assert np.array_equal(net.params.flat, before)
    for name in net.grads:  # those of the first batch
        assert np.array_equal(net.grads[name], expected_of(net, expected, name)), name


def expected_of(net, flat, name):
    """Return a parameter's part of a copy of the flat vector."""
    view = net.grads[name]
    start = (view.ctypes.data - net.grads.flat.ctypes.data) // flat.itemsize
    strides = view.strides
    return np.lib.stride_tricks.as_strided(flat[start:], view.shape, strides)


def test_the_table_says_where_a_step_updates_at_once():
    record = bench.bench([256, 256, 10], "relu", 8, seconds=0.0, ops=True)
    assert "at once, while it is in cache" in bench.report(record)
    record = bench.bench([8, 16, 10], "relu", 8, seconds=0.0, ops=True)
    assert "at once" not in bench.report(record)


# --- the command ----------------------------------------------------------------------------------


def test_the_command(tmp_path):
    arguments = ("4-16-3", "--batch", 8, "--activation", "tanh", "--threads", 1, "--seconds", 0.01)
    code, out, err = run(tmp_path, *arguments, "--ops", "--json", "result.json")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "4-16-3, tanh, batch 8, float32, 131 parameters"
    assert re.search(
        r"; FMA peak in GFLOP/s: [\d.]+ \(1 thread\); GB/s: copy [\d.]+, triad [\d.]+$", lines[1]
    )
    assert lines[3].split() == ["us", "p10", "p90", "threads", "GFLOP/s", "of", "peak"]
    assert [line.rsplit(maxsplit=6)[0] for line in lines[4:7]] == [
        "train step",
        "predict 8 rows",
        "predict 1 row",
    ]
    assert out.count("DENSE_DW") == 2
    assert lines[-1] == "written to result.json"
    record = json.loads((tmp_path / "result.json").read_text())
    assert set(record) == {"machine", "net", "phases", "ops"}
    for row in record["phases"] + record["ops"]:
        check_row(row, record["machine"]["peak_gflops"])
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


MISTAKES = {
    "net": (("784-x",), "net='784-x': expected widths from input to output"),
    "one width": (("784",), "net='784': expected at least an input and an output width"),
    "no net": ((), "required: NET"),
    "batch": (("4-3", "--batch", "0"), "batch=0: expected an integer >= 1"),
    "batch word": (("4-3", "--batch", "x"), "argument --batch: invalid int value: 'x'"),
    "activation": (("4-5-3", "--activation", "rellu"), "Did you mean 'relu'"),
    "dtype": (("4-3", "--dtype", "float16"), "dtype='float16': expected 'float32'"),
    "threads": (("4-3", "--threads", "0"), "num_threads=0: expected an integer from 1 to 1024"),
    "seconds": (("4-3", "--seconds", "nan"), "seconds=nan: expected a finite number >= 0"),
    "json": (("4-3", "--json", "no/where.json"), "--json no/where.json: the folder does not exist"),
    "json folder": (("4-3", "--json", "."), r"--json \.: is a folder"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_line_and_code_2(case, tmp_path):
    arguments, words = MISTAKES[case]
    code, out, err = run(tmp_path, *arguments)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1, err
    assert re.search(words, err), err
    assert list(tmp_path.iterdir()) == []


def test_help_says_where_the_peers_are(tmp_path):
    code, out, err = run(tmp_path, "--help")
    assert (code, err) == (0, "")
    assert "benchmarks/peers.py" in " ".join(out.split())
