"""The suite that asv runs, as asv would run it in the quick profile; no time is compared with a limit."""

import importlib
import inspect
import itertools
import json
import math
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from minidl import MLP, compare, init
from minidl.engine.ops import OPS

FOLDER = Path(__file__).parent.parent / "benchmarks"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="needs the source tree")

MODULES = ("kernels", "training", "convergence", "memory", "startup")


@pytest.fixture
def suite(monkeypatch):
    """A function that imports a module of the suite, in the quick profile."""
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.delenv("MINIDL_BENCH_PROFILE", raising=False)
    yield lambda name: importlib.import_module(f"suite.{name}")
    for name in [name for name in sys.modules if name.partition(".")[0] == "suite"]:
        del sys.modules[name]


def benchmarks(module):
    """Yield (class, name of a benchmark) as asv finds them."""
    for name, thing in vars(module).items():
        if inspect.isclass(thing) and not name.startswith("_") and thing.__module__ == module.__name__:
            for method in dir(thing):
                if method.partition("_")[0] in ("time", "timeraw", "track", "peakmem"):
                    yield thing, method


def results(benchmark, method, cache=()):
    """Yield what a benchmark returns for each of its parameters; what it skips is left out."""
    params = getattr(benchmark, "params", ())
    assert len(params) == len(getattr(benchmark, "param_names", ())), benchmark
    for values in itertools.product(*params):
        instance = benchmark()
        try:
            if hasattr(instance, "setup"):
                instance.setup(*cache, *values)
        except NotImplementedError:
            continue
        yield values, getattr(instance, method)(*cache, *values)


# --- profiles, completeness -----------------------------------------------------------------------


def importing(profile, module="common"):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import suite.{module} as m; print(m.PROFILE)"],
        cwd=FOLDER,
        env={**os.environ, "MINIDL_BENCH_PROFILE": profile},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("profile", ["quick", "regular", "full"])
def test_profiles(profile):
    for module in MODULES:
        done = importing(profile, f"common, suite.{module}, suite.common")
        assert (done.returncode, done.stdout.strip()) == (0, profile), done.stderr


def test_no_profile_is_the_quick_one():
    assert importing("").stdout.strip() == "quick"


def test_an_unknown_profile_lists_the_known():
    done = importing("fast")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "ValueError: MINIDL_BENCH_PROFILE='fast': expected one of quick, regular, full."
    )


def test_every_op_has_a_benchmark(suite):
    kernels = suite("kernels")
    assert set(kernels.CASES) == set(OPS)
    assert {op for op in OPS if inspect.isclass(getattr(kernels, op))} == set(OPS)
    with pytest.raises(RuntimeError, match=r"no benchmark for CONV, POOL: add"):
        kernels.check_vocabulary([*OPS, "POOL", "CONV"])
    kernels.check_vocabulary(list(OPS)[:-1])  # an older version has fewer


def test_a_missing_op_fails_the_import(suite, monkeypatch):
    monkeypatch.setitem(OPS, "CONV", OPS["DENSE"])
    with pytest.raises(RuntimeError, match="CONV"):
        suite("kernels")


# --- kernels --------------------------------------------------------------------------------------


def test_all_kernels_in_the_quick_profile(suite):
    kernels = suite("kernels")
    roofs = kernels.setup_cache()
    assert roofs["fma"]["float32", "best", 1] > 0
    seen = set()
    for benchmark, method in benchmarks(kernels):
        for values, result in results(benchmark, method, (roofs,)):
            seen.add(benchmark.__name__)
            if method.startswith("track"):
                assert math.isfinite(result), (benchmark, method, values)
                low = -5.0 if "lost" in method else 0.0  # the peak is measured, too
                assert result > low, (benchmark, method, values)
                assert isinstance(getattr(benchmark, method).unit, str)
    assert seen == {*OPS, "FMAPeak", "Copy"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_runner_really_runs_its_op(suite, dtype):
    kernels = suite("kernels")
    close = partial(np.testing.assert_allclose, rtol=1e-4 if dtype == "float32" else 1e-10)

    def ran(case, **shown):
        run = kernels.Runner(case, dtype)
        before = {name: np.array(run.bound.view(name)) for name in shown.values()}
        run(1)
        assert run.repeats * run.elements == pytest.approx(2**20, rel=0.5)
        after = {key: np.array(run.bound.view(name)) for key, name in shown.items()}
        return run, {key: before[name] for key, name in shown.items()}, after

    def first(op, word=""):
        return next(case for case in kernels.CASES[op]() if word in case.name)

    run, old, new = ran(first("DENSE", "100x17x33 relu"), x="x", w="0.weight", b="0.bias", y="y")
    expected = np.maximum(old["x"].astype(float) @ old["w"] + old["b"], 0)
    close(new["y"], expected, atol=1e-5)
    assert run.op.flops(run.rows) == 2 * 100 * 17 * 33
    # each operand once: x, W, b in; y out (relu saves its output)
    assert run.elements == 100 * 17 + 17 * 33 + 33 + 100 * 33
    assert run.op.bytes(run.rows) == run.elements * np.dtype(dtype).itemsize

    _, old, new = ran(first("DENSE_DW", "100x17x33"), x="x", dz="dz", dw="d0.weight")
    close(new["dw"], old["x"].T.astype(float) @ old["dz"], atol=1e-4)
    _, old, new = ran(first("ACTIVATION", "100x17 tanh"), x="x", y="y")
    close(new["y"], np.tanh(old["x"].astype(float)), atol=1e-6)
    _, old, new = ran(first("SOFTMAX", "100x17"), x="x", y="y")
    close(new["y"].sum(axis=1), 1.0)
    run, old, new = ran(first("SGD"), params="params", velocity="states", grads="grads")
    assert np.array_equal(old["params"], new["params"])  # the learning rate is 0
    velocity = old["velocity"].astype(float)
    for _ in range(run.repeats):
        velocity = 0.9 * velocity + old["grads"]
    close(new["velocity"], velocity, atol=1e-6)


def test_what_this_machine_lacks_is_skipped(suite):
    kernels = suite("kernels")
    with pytest.raises(NotImplementedError, match="100000 threads"):
        kernels.use("best", 100000)
    with pytest.raises(NotImplementedError, match="x86-64-v9 is not available"):
        kernels.use("x86-64-v9", 1)


# --- the other modules ----------------------------------------------------------------------------


def test_training_memory_and_startup_in_the_quick_profile(suite, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # what they start must not import the source folder
    for name in ("training", "memory", "startup"):
        module = suite(name)
        for benchmark, method in benchmarks(module):
            number = 0
            for values, result in results(benchmark, method):
                number += 1
                if method.startswith("track"):
                    assert result > 0, (benchmark, method, values)
                if method.startswith("timeraw"):
                    subprocess.run(
                        [sys.executable, "-W", "error", "-c", result], check=True, timeout=60, cwd=tmp_path
                    )
            assert number > 0, (benchmark, method)


def test_the_wheel_is_smaller_than_what_it_installs(suite):
    size = suite("startup").Size()
    size.setup()
    assert 100_000 < size.track_wheel() < size.track_installed()


def test_the_nets_are_those_of_the_peers(suite):
    common = suite("common")
    assert len(common.NETS) == 9
    assert "peers" in inspect.getfile(type(common.NETS["4-16-16-3"]))


# --- convergence ----------------------------------------------------------------------------------


@pytest.fixture
def convergence(suite, monkeypatch, tmp_path):
    """The module with a small problem and a folder of its own."""
    module = suite("convergence")
    task = compare.TASKS["spirals"].with_options(steps=40, learning_rates=(0.1, 0.01), seeds=2, target=0.9)
    monkeypatch.setattr(module, "BENCHMARKS", tmp_path)
    monkeypatch.setattr(module, "DATA", ("spirals",))
    monkeypatch.setattr(module, "SCHEMES", ("he_normal", "zeros", "not_invented_yet", "fixup"))
    monkeypatch.setattr(module, "ACTIVATIONS", ("relu",))
    monkeypatch.setattr(module, "DEPTHS", (2,))
    monkeypatch.setattr(module, "n_cpus", lambda: 1)
    small = partial(compare.run, tasks={"spirals": task, "mnist": task})
    monkeypatch.setattr(module.compare, "run", small)
    return module


def test_convergence(convergence, tmp_path):
    records = convergence.setup_cache()
    files = sorted((tmp_path / ".asv" / "convergence").glob("*/*.json"))
    assert len(files) == len(records)
    assert convergence.setup_cache() == records  # looked up

    def track(method, scheme):
        benchmark = convergence.Convergence()
        cell = ("spirals", "relu", 2, scheme)
        benchmark.setup(records, *cell)
        return getattr(benchmark, method)(records, *cell)

    assert track("track_failed_seeds", "he_normal") == 0
    assert 0 < track("track_steps", "he_normal") <= 40
    assert 0 < track("track_seconds", "he_normal") < 60
    assert 0 <= track("track_spread", "he_normal") <= 40
    assert track("track_test_error", "he_normal") < track("track_test_error", "zeros")
    assert track("track_failed_seeds", "zeros") == 2
    for method in ("track_steps", "track_seconds", "track_spread"):
        assert math.isnan(track(method, "zeros"))
    for scheme in ("not_invented_yet", "fixup"):
        with pytest.raises(NotImplementedError):
            track("track_steps", scheme)
    for _, method in benchmarks(convergence):
        assert getattr(convergence.Convergence, method).unit


@pytest.mark.filterwarnings("ignore::minidl.errors.InitWarning")  # some suit other activations
def test_the_full_profile_has_every_scheme_of_the_catalogue(suite):
    module = suite("convergence")
    left_out = {name for names in module.LEFT_OUT.values() for name in names}
    assert left_out <= set(init.names())
    kinds = {type(init.get(scheme)) for scheme in module.FULL}
    missing = {name for name in set(init.names()) - left_out if _kind(name, module.FULL) not in kinds}
    assert missing == set(), "a new scheme belongs to FULL, or to LEFT_OUT with a reason"
    for scheme in module.FULL:  # and each of them can be made
        MLP([4, 32, 2], init=scheme, seed=0)


def _kind(name, schemes):
    """The class that a registered name makes, which may need arguments."""
    call = next((scheme for scheme in schemes if scheme.split("(")[0] == name), name)
    return type(init.get(call))


def test_a_missing_data_set_is_named_with_the_way_to_get_it(convergence, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(convergence, "DATA", ("mnist", "spirals"))
    for name in ("MINIDL_DATA", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    compare.load.cache_clear()
    records = convergence.setup_cache()
    assert {data for data, *_ in records} == {"spirals"}
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("convergence: no cells on mnist.")
    assert "MINIDL_DATA" in line


def test_a_version_without_comparisons_has_no_cells(convergence, monkeypatch):
    monkeypatch.setattr(convergence, "compare", None)
    assert convergence.setup_cache() == {}
    with pytest.raises(NotImplementedError):
        convergence.Convergence().setup({}, "spirals", "relu", 2, "he_normal")


def test_another_build_computes_its_own(suite, monkeypatch, tmp_path):
    common = suite("common")
    before = common.code_digest()
    copy = tmp_path / "minidl"
    copy.mkdir()
    source = Path(common.minidl.__file__)
    (copy / "__init__.py").write_bytes(source.read_bytes() + b"# a comment\n")
    monkeypatch.setattr(common.minidl, "__file__", str(copy / "__init__.py"))
    assert common.code_digest() != before
    assert common.code_digest() == common.code_digest()


# --- the configuration ----------------------------------------------------------------------------


def test_the_configuration_keeps_threads_and_what_it_writes_in_place():
    lines = (FOLDER / "asv.conf.json").read_text().splitlines()
    conf = json.loads("\n".join(line for line in lines if not line.lstrip().startswith("//")))
    assert conf["repo"] == ".."
    assert (FOLDER / conf["benchmark_dir"] / "common.py").is_file()
    assert conf["matrix"]["env_nobuild"]["OMP_NUM_THREADS"] == ["1"]
    assert all(conf[name].startswith(".asv/") for name in ("env_dir", "results_dir", "html_dir"))
    ignored = (FOLDER.parent / ".gitignore").read_text().split()
    assert ".asv/" in ignored
