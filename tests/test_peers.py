"""benchmarks/peers.py: it finds who computes something else or is absent, and refuses wrong options.

No time is compared with anything: samples are a millisecond long.
"""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="needs the source tree")

SHORT = ("--samples", "2", "--ms", "1")


def run(folder, *arguments, **environment):
    done = subprocess.run(
        [sys.executable, str(FOLDER / "peers.py"), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def room(monkeypatch):
    """The modules of the benchmarks, importable for one test."""
    monkeypatch.syspath_prepend(str(FOLDER / "peers"))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(FOLDER) in str(sys.modules[name].__file__):
            del sys.modules[name]


# --- whole runs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "cases", "names"),
    [
        (("--what", "matmul", "--shapes", "3x4x5"), ["XW 3x4x5"], ["minidl", "minidl_kernel", "numpy"]),
        (
            ("--what", "predict", "--nets", "4-16-16-3", "--rows", "1"),
            ["4-16-16-3 relu, 1 row"],
            ["minidl", "numpy"],
        ),
        (("--nets", "4-16-16-3"), ["4-16-16-3 b16 relu"], ["minidl", "minidl_per_call", "numpy"]),
    ],
)
def test_a_run(arguments, cases, names, tmp_path):
    code, out, err = run(tmp_path, *arguments, "--peers", ",".join(names), "--json", "r.json", *SHORT)
    assert code == 0, err
    record = json.loads((tmp_path / "r.json").read_text())
    (result,) = record["runs"]
    assert [case["name"] for case in result["cases"]] == cases
    assert list(result["peers"]) == names
    assert result["absent"] == {}
    assert 0 < result["roofs"]["peak_gflops"]["float32"] < math.inf
    for case in result["cases"]:
        assert case["flops"] > 0
        assert case["bytes"] > 0
        for name in names:
            row = case["peers"][name]
            assert len(row["samples_us"]) == 2
            assert 0 < row["p10_us"] <= row["median_us"] <= row["p90_us"] < math.inf
            assert 0 <= row["deviation"] < 1e-4
    assert "FMA peak: " in out
    assert "best other/minidl: geometric mean " in out
    assert "multiply-adds at the peak and nothing else: geometric mean " in out


def test_a_peer_that_is_not_installed_is_named(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('there is no torch here')\n")
    arguments = ("--what", "matmul", "--shapes", "2x2x2", "--peers", "minidl,torch")
    code, out, _ = run(tmp_path, *arguments, *SHORT, PYTHONPATH=str(tmp_path))
    assert code == 0
    assert "PyTorch is absent: there is no torch here" in out


def test_without_minidl_the_code_is_1(tmp_path):
    (tmp_path / "minidl.py").write_text("raise ImportError('there is no minidl here')\n")
    arguments = ("--what", "matmul", "--shapes", "2x2x2", "--peers", "minidl,numpy")
    code, out, _ = run(tmp_path, *arguments, *SHORT, PYTHONPATH=str(tmp_path))
    assert code == 1
    assert "minidl is absent: there is no minidl here" in out
    assert "no roofs" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--what", "tran"), "argument --what: invalid choice: 'tran'"),
        (("--peers", "torhc"), "Did you mean 'torch'?"),
        (("--what", "predict", "--peers", "jax_scan"), "peer 'jax_scan' is unknown"),
        (("--nets", "4-16-16"), "Did you mean '4-16-16-3'?"),
        (("--rows", "3"), "argument --rows: only for --what predict"),
        (("--dtype", "float64"), "argument --dtype: only for --what matmul"),
        (("--what", "matmul", "--shapes", "3x4"), "expected m x k x n"),
        (("--what", "matmul", "--shapes", "3x0x4"), "'0': expected an integer >= 1"),
        (("--threads", "0"), "'0': expected numbers such as 1,2 from 1 to "),
        (("--json", "no/where.json"), "expected a file in a folder that exists"),
        (("--epoch", "nowhere", "--what", "train"), "argument --epoch: --what does not go with it"),
        (("--epoch", "nowhere"), "not found in nowhere"),
    ],
)
def test_a_wrong_option_is_one_line_and_code_2(arguments, words, tmp_path):
    code, out, err = run(tmp_path, *arguments)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1, err
    assert words in err


# --- parts ----------------------------------------------------------------------------------------


class Answering:
    """A client that gives the same answer to everything."""

    def __init__(self, **answer):
        self.answer = answer

    def ask(self, do, **details):
        return self.answer


@pytest.mark.parametrize(("error", "agrees"), [(0.0, True), (9e-6, True), (1.1e-5, False), (math.nan, False)])
def test_a_peer_that_computes_something_else_is_left_out(error, agrees, room):
    import cases
    import measure
    import products

    case = cases.MatmulCase(products.Product("XW", 2, 3, 4, "float32"))
    row = measure.check(Answering(deviation=error), case)
    assert ("why" not in row) is agrees
    if not agrees:
        assert row["why"] == "other elements"


@pytest.mark.parametrize("net_name", ["4-16-16-3", "17-64-64-6", "256-512-512-100"])
def test_the_losses_find_a_forgotten_momentum(net_name, room):
    import cases
    import nets

    net = nets.NETS[net_name]
    case = cases.TrainCase(net)
    assert case.deviation({"losses": case.truth.tolist()}) == 0
    assert case.truth[-1] < case.truth[0]  # it learns
    wrong = nets.NumpyNet(net, np.float64)
    wrong.momentum = 0.0
    x, y = net.checked_data
    b = net.batch
    losses = [wrong.step(x[i : i + b].astype(np.float64), y[i : i + b]) for i in range(0, len(x), b)]
    assert case.deviation({"losses": losses}) > case.tolerance


def test_the_products_are_those_of_training(room):
    import products

    found = {product.name: product for product in products.of_nets(["4-16-16-3"], "float32")}
    assert list(found) == [
        "XW 16x4x16", "XtdY 4x16x16", "XW 16x16x16", "XtdY 16x16x16", "dYWt 16x16x16",
        "XW 16x16x3", "XtdY 16x16x3", "dYWt 16x3x16",
    ]  # fmt: skip
    for product in found.values():
        a, b, out = product.operands()
        assert (a.shape, b.shape, out.shape) == (
            (product.m, product.k), (product.k, product.n), (product.m, product.n)
        )  # fmt: skip
        assert a.T.flags.c_contiguous is (product.kind == "XtdY")
        assert b.T.flags.c_contiguous is (product.kind == "dYWt")
        assert all(array.ctypes.data % 64 == 0 for array in (a, b, out))


def record():
    """Return a record with known numbers: minidl is twice as fast in one case, half as fast in the other."""

    def row(us):
        times = {"median_us": us, "p10_us": us, "p90_us": us}
        return {**times, "units_per_sample": 1, "preempted": 0, "choice": ""}

    times = {
        "a": {"minidl": 1.0, "torch": 4.0, "numpy": 2.0},
        "b": {"minidl": 8.0, "torch": 4.0, "numpy": 16.0},
    }
    cases = [
        {"name": name, "dtype": "float32", "flops": 1e4, "bytes": 1e3,
         "peers": {peer: row(us) for peer, us in found.items()}}
        for name, found in times.items()
    ]  # fmt: skip
    roofs = {"peak_gflops": {"float32": 20.0}, "copy_gb_s": 3.0, "triad_gb_s": {"24 KB": 30.0, "384 MB": 2.0}}
    peers = {name: [name, "1", ""] for name in times["a"]}
    run = {"what": "matmul", "threads": 1, "cpus": [0], "absent": {}}
    run |= {"peers": peers, "cases": cases, "roofs": roofs}
    return {"machine": {"cpu": "a CPU"}, "runs": [run]}


def test_ratios_and_shares(room):
    import report

    (run,) = record()["runs"]
    first, second = run["cases"]
    assert (report.ratio(first), report.ratio(second)) == (2.0, 0.5)
    assert report.ratio(first, "torch") == 4.0
    assert report.of_peak(run, first, 1.0) == pytest.approx(0.5)  # 10 of 20 GFLOP/s
    assert report.limit(run, first) == pytest.approx(4.0)  # the best other takes 2 us, the peak allows 0.5 us
    found = report.summary(run)
    assert found["geometric_mean"] == pytest.approx(1.0)
    assert found["limit"] == pytest.approx((4.0 * 8.0) ** 0.5)
    assert (found["lowest"], found["lowest_case"]) == (0.5, "b")
    table = report.main_table(run).splitlines()
    assert table[1].split() == ["a", "50%", "12%", "25%", "1.00", "2.00", "4.00"]


def test_a_team_has_one_roof_more(room):
    """How fast lines go from core to core, and back: the slowest and the fastest that was seen."""
    import report

    (run,) = record()["runs"]
    assert "from core to core" not in report.roof_line(run)
    run["threads"] = 2
    run["roofs"]["handover_gb_s"] = [6.5, 1.4, 7.1]
    assert report.roof_line(run).endswith("; from core to core, GB/s: 1.4 to 7.1")


def test_without_roofs_there_is_no_limit(room):
    import report

    (run,) = record()["runs"]
    run["roofs"]["peak_gflops"] = {}
    assert report.limit(run, run["cases"][0]) is None
    assert report.summary(run)["limit"] is None
    assert report.main_table(run).splitlines()[1].split()[-1] == "-"


@pytest.mark.parametrize("name", ["roof.png", "roof.svg"])
def test_the_roofline_is_a_picture(name, room, tmp_path):
    pytest.importorskip("matplotlib")
    import roofline

    roofline.draw(record(), tmp_path / name)
    data = (tmp_path / name).read_bytes()
    assert data.startswith(b"\x89PNG" if name.endswith("png") else b"<?xml")
    assert len(data) > 5000
