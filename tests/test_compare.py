"""Comparison of schemes: the training loop, a cell, the pool that resumes, the command."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest

import minidl
from minidl import compare, init
from minidl.cli import main
from minidl.compare import command, plots, pool, report
from minidl.compare.cells import quantile
from minidl.datasets import spirals
from minidl.errors import OptionError

TINY = compare.TASKS["spirals"].with_options(
    width=8, batch_size=16, steps=30, every=5, learning_rates=(0.1, 0.01), seeds=3, target=1.05
)
CELL = compare.Cell("spirals", "tanh", 2, "xavier_uniform")


def small_rows(n=120):
    X, y = spirals(n, seed=3)
    X_test, y_test = spirals(60, seed=4)
    return compare.Rows(X / X.std(), y, X_test / X.std(), y_test)


def without_seconds(record):
    return {key: value for key, value in record.items() if key != "seconds"}


# --- the training loop ----------------------------------------------------------------------------


def batches(seed, n_rows, batch, steps):
    """The rows of each step, by the rule: a new order each time all rows have been used."""
    passes = -(-steps * batch // n_rows)
    order = np.concatenate([init.Stream(seed, "compare", p).permutation(n_rows) for p in range(passes)])
    return order[: steps * batch].reshape(steps, batch)


@pytest.mark.parametrize("scheme", ["he_normal", "lsuv"])
@pytest.mark.parametrize("every", [1, 4, 7, 20])
def test_the_loop_is_one_step_after_the_other(every, scheme):
    rows, optimizer = small_rows(50), minidl.SGD(lr=0.05, momentum=0.9)
    plain = minidl.MLP([2, 8, 3], "tanh", init=scheme, seed=5)
    if plain.init.needs_data:
        plain.init.fit(plain, rows.X, rows.y)
    losses = [
        plain.train_step(rows.X[b], rows.y[b], optimizer=optimizer, n_threads=1)
        for b in batches(5, 50, 16, 20)
    ]
    net = minidl.MLP([2, 8, 3], "tanh", init=scheme, seed=5)
    course = compare.train(net, rows.X, rows.y, optimizer, steps=20, batch_size=16, every=every)
    assert np.array_equal(net.params.flat, plain.params.flat)
    expected = [np.mean(losses[i : i + every]) for i in range(0, 20, every)]
    assert course.losses == pytest.approx(expected, rel=1e-12)
    assert course.seconds == sorted(course.seconds)
    assert not course.diverged


def test_stop_ends_the_training():
    rows, looks = small_rows(), []
    net = minidl.MLP([2, 8, 3], seed=0)

    def stop(step, loss):
        looks.append((step, loss))
        return step >= 8

    course = compare.train(net, rows.X, rows.y, minidl.SGD(0.1), steps=40, batch_size=8, every=4, stop=stop)
    assert [step for step, _ in looks] == [4, 8]
    assert [loss for _, loss in looks] == course.losses
    assert net.training.steps == 8


def test_divergence_ends_the_training():
    rows = small_rows()
    net = minidl.MLP([2, 8, 3], seed=0)
    course = compare.train(net, rows.X, rows.y, minidl.SGD(1e30), steps=40, batch_size=8)
    assert course.diverged
    assert all(map(math.isfinite, course.losses))
    assert np.isfinite(net.params.flat).all()


# --- a cell ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "q", "expected"),
    [
        ([3, 1, 2], 0.5, 2), ([3, 1, 2, 4], 0.5, 2), ([1], 0.25, 1), ([5, math.inf, 4], 0.5, 5),
        ([math.inf, math.inf, 4], 0.5, math.inf), ([1, 2, 3, 4, 5], 0.25, 2), ([1, 2, 3, 4, 5], 0.75, 4),
    ],
)  # fmt: skip
def test_quantile(values, q, expected):
    assert quantile(values, q) == expected
    if math.isfinite(max(values)):
        assert quantile(values, q) == np.quantile(values, q, method="inverted_cdf")


def test_a_record_follows_from_its_trainings():
    rows = small_rows()
    record = compare.measure(CELL, TINY, rows)
    steps = {}
    for lr in TINY.learning_rates:
        for seed in range(3):
            net = minidl.MLP([2, 8, 8, 3], "tanh", init="xavier_uniform", seed=seed)
            course = compare.train(
                net, rows.X, rows.y, minidl.SGD(lr, momentum=0.9), steps=30, batch_size=16, every=5
            )
            reached = [5 * (i + 1) for i, loss in enumerate(course.losses) if loss <= TINY.target]
            steps.setdefault(lr, []).append(min(reached, default=math.inf))
            if lr == record["lr"]:
                assert record["curves"][seed] == course.losses
    middle = {lr: sorted(values)[1] for lr, values in steps.items()}
    assert record["lr"] == min(middle, key=middle.get)
    assert record["steps"] == middle[record["lr"]]
    assert record["failed"] == steps[record["lr"]].count(math.inf)
    assert record["loss"] == sorted(curve[-1] for curve in record["curves"])[1]
    assert record["seconds"] > 0
    for row in record["grid"]:
        assert row["failed"] == steps[row["lr"]].count(math.inf)
        assert (row["steps"] or math.inf) == middle[row["lr"]]
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_the_test_rows_choose_nothing():
    rows = small_rows()
    shuffled = compare.Rows(rows.X, rows.y, -rows.X_test, np.roll(rows.y_test, 1))
    one, other = (compare.measure(CELL, TINY, r) for r in (rows, shuffled))
    assert one["test_error"] != other["test_error"]
    for record in (one, other):
        record.pop("test_error")
    assert without_seconds(one) == without_seconds(other)


def test_test_error_is_the_share_of_wrong_answers():
    rows, task = small_rows(), TINY.with_options(seeds=1, learning_rates=(0.1,))
    record = compare.measure(CELL, task, rows)
    net = minidl.MLP([2, 8, 8, 3], "tanh", init="xavier_uniform", seed=0)
    compare.train(net, rows.X, rows.y, minidl.SGD(0.1, momentum=0.9), steps=30, batch_size=16)
    accuracy = net.evaluate(rows.X_test, rows.y_test, loss="cross_entropy")["accuracy"]
    assert record["test_error"] == pytest.approx(1 - accuracy)


@pytest.mark.parametrize(
    ("activation", "scheme", "rms", "contrast"),
    [
        ("relu", "he_normal", 2**0.5, None),  # E z^2 = 2 E x^2, kept by every layer
        ("selu", "lecun_normal", 1.0, None),
        ("relu", "xavier_normal", 2.0**-4.5, None),  # E z^2 = E x^2, then halved nine times
        ("sigmoid", "xavier_uniform", 0.5, 1e-4),  # rows look the same: slopes are at most 1/4, so < 4^-9
        ("tanh", "zeros", 0.0, 0.0),
        ("relu", "lsuv", 1.0, None),
    ],
)
def test_the_signal_before_training_is_that_of_theory(activation, scheme, rms, contrast):
    """In 10 hidden layers of 300 units the relative sd of E z^2 is about sqrt(5 * 10 / 300) = 0.4 at most."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((256, 300)).astype(np.float32)
    rows = compare.Rows(X, np.arange(256) % 3, X, np.arange(256) % 3)
    task = TINY.with_options(width=300, steps=5, learning_rates=(1e-3,), seeds=5)
    record = compare.measure(compare.Cell("spirals", activation, 10, scheme), task, rows)
    assert record["rms"] == pytest.approx(rms, rel=0.3)
    assert 0.0 <= record["contrast"] <= 1.0
    if contrast is not None:
        assert record["contrast"] <= contrast
    elif activation == "selu":
        assert record["contrast"] > 0.5


@pytest.mark.parametrize("scheme", ["zeros", "constant(0.1)"])
def test_a_constant_never_breaks_the_symmetry(scheme):
    """All units of a layer stay equal, so the net is one unit wide: too narrow for spirals."""
    rows = compare.load("spirals")
    task = TINY.with_options(steps=300, seeds=2, learning_rates=(0.1,), target=0.6)
    failed = {}
    for name in (scheme, "xavier_uniform"):
        failed[name] = compare.measure(compare.Cell("spirals", "tanh", 2, name), task, rows)["failed"]
    assert failed == {scheme: 2, "xavier_uniform": 0}
    net = minidl.MLP([2, 8, 8, 3], "tanh", init=scheme, seed=0)
    compare.train(net, rows.X, rows.y, minidl.SGD(0.1), steps=20, batch_size=16)
    weight = net.params["1.weight"]
    assert np.array_equal(weight, np.broadcast_to(weight[:1, :1], weight.shape))


def test_a_learning_rate_that_diverges_is_not_chosen():
    record = compare.measure(CELL, TINY.with_options(learning_rates=(1e30, 0.1)), small_rows())
    assert record["lr"] == 0.1
    assert record["grid"][0] == {"lr": 1e30, "failed": 3, "steps": None}
    cell = compare.Cell("spirals", "relu", 2, "he_normal")
    record = compare.measure(cell, TINY.with_options(learning_rates=(1e30,)), small_rows())
    assert (record["diverged"], record["loss"], record["steps"]) == (3, None, None)
    assert 0.0 < record["test_error"] <= 1.0
    json.dumps(record, allow_nan=False)


def test_a_scheme_that_cannot_serve_is_refused_in_words():
    record = compare.measure(compare.Cell("spirals", "relu", 2, "fixup"), TINY, small_rows())
    assert list(record) == ["refused"]
    assert "residual branches" in record["refused"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seeds": 0}, "seeds=0"),
        ({"steps": 3, "every": 5}, "steps=3"),
        ({"target": 0.0}, "target=0.0"),
        ({"learning_rates": ()}, "number of learning rates"),
        ({"learning_rates": (0.1, -1.0)}, "learning rate=-1.0"),
        ({"momentum": 1.0}, "momentum=1.0"),
    ],
)
def test_wrong_tasks(options, words):
    with pytest.raises(OptionError, match=words):
        TINY.with_options(**options)


def test_the_rows_of_the_tasks_are_standardized_and_held_apart():
    for data in ("spirals", "shapeset"):
        rows = compare.load(data)
        assert rows.X.dtype == rows.X_test.dtype == np.float32
        assert abs(rows.X.mean(dtype=float)) < 1e-4
        assert rows.X.std(dtype=float) == pytest.approx(1, abs=1e-4)
        assert not {row.tobytes() for row in rows.X} & {row.tobytes() for row in rows.X_test}
    with pytest.raises(OptionError, match="data='moons' is unknown"):
        compare.load("moons")


def test_digits_hold_out_a_fifth():
    pytest.importorskip("sklearn")
    rows = compare.load("digits")
    assert (len(rows.X), len(rows.X_test), rows.n_classes) == (1437, 360, 10)
    assert set(rows.y_test) == set(range(10))


# --- many cells, and interruptions ----------------------------------------------------------------

CELLS = [compare.Cell("spirals", act, depth, "he_normal") for act in ("relu", "tanh") for depth in (1, 2)]
TASKS = {"spirals": TINY.with_options(seeds=1)}


def test_an_interrupted_run_goes_on(tmp_path, monkeypatch):
    measured = []

    def spy(cell, task, rows):
        measured.append(cell)
        return compare.measure(cell, task, rows)

    monkeypatch.setattr(pool, "measure", spy)
    results = compare.Results(tmp_path / "kept")

    def stop(done, total, cell):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare.run(CELLS, TASKS, results=results, progress=stop)
    first = list(measured)
    assert len(first) == 2
    assert len(list((tmp_path / "kept").iterdir())) == 2

    seen = []
    records = compare.run(CELLS, TASKS, results=results, progress=lambda *args: seen.append(args[:2]))
    assert measured[:2] == first
    assert sorted(measured) == sorted(CELLS)  # each once
    assert seen == [(3, 4), (4, 4)]
    assert list(records) == CELLS
    assert compare.run(CELLS, TASKS, results=results) == records
    assert len(measured) == 4


@pytest.mark.parametrize("damage", ["", "{", '{"of": [], "record": {}}', "[1]", "null", '"x"'])
def test_a_damaged_file_is_computed_again(tmp_path, damage):
    results = compare.Results(tmp_path)
    before = compare.run(CELLS[:1], TASKS, results=results)[CELLS[0]]
    (path,) = tmp_path.iterdir()
    whole = path.read_text()
    path.write_text(damage or whole[: len(whole) // 2])
    assert results.get(CELLS[0], TASKS["spirals"]) is None
    after = compare.run(CELLS[:1], TASKS, results=results)[CELLS[0]]
    assert without_seconds(after) == without_seconds(before)
    assert json.loads(path.read_text())["record"] == after


@pytest.mark.parametrize("function", ["replace", "write"])
def test_a_record_is_stored_whole_or_not_at_all(tmp_path, monkeypatch, function):
    results, task = compare.Results(tmp_path), TASKS["spirals"]
    results.put(CELL, task, {"failed": 1})

    def full(*_, **__):
        raise OSError("no space left")

    if function == "replace":
        monkeypatch.setattr(pool.os, "replace", full)
    else:
        monkeypatch.setattr(pool.Path, "write_text", full)
    with pytest.raises(OSError, match="no space"):
        results.put(CELL, task, {"failed": 2})
    monkeypatch.undo()
    assert results.get(CELL, task) == {"failed": 1}
    assert len(list(tmp_path.iterdir())) == 1


def test_results_of_another_task_are_not_taken(tmp_path):
    results, task = compare.Results(tmp_path), TASKS["spirals"]
    results.put(CELL, task, {"failed": 1})
    assert results.get(CELL, task.with_options(steps=31)) is None
    assert results.get(compare.Cell("spirals", "tanh", 3, "xavier_uniform"), task) is None
    # schemes whose names differ in signs only have files of their own
    names = {results.path(compare.Cell("a", "b", 1, s), task).name for s in ("he(1)", "he[1]", "he(1) ")}
    assert len(names) == 3
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(OptionError, match="is a file: expected a folder"):
        compare.Results(path)


def test_processes_change_nothing(tmp_path):
    alone = compare.run(CELLS, TASKS)
    together = compare.run(CELLS, TASKS, jobs=2, results=compare.Results(tmp_path))
    assert list(alone) == list(together)
    for cell in CELLS:
        assert without_seconds(alone[cell]) == without_seconds(together[cell])


def test_nothing_is_trained_if_a_name_is_unknown(monkeypatch):
    monkeypatch.setattr(pool, "measure", None)
    for cell, words in (
        (compare.Cell("spirals", "rellu", 1, "he_normal"), "Did you mean 'relu'"),
        (compare.Cell("spirals", "relu", 1, "hee_normal"), "hee_normal"),
        (compare.Cell("spirals", "relu", 0, "he_normal"), "depth=0"),
        (compare.Cell("moons", "relu", 1, "he_normal"), "data='moons'"),
    ):
        with pytest.raises(OptionError, match=words):
            compare.run([CELLS[0], cell], TASKS)


# --- the command ----------------------------------------------------------------------------------

FAST = (
    "--data", "spirals", "--depth", "1,2", "--init", "xavier_uniform,zeros", "--activation", "tanh",
    "--lr", "0.1,0.01", "--seeds", "2", "--steps", "40", "--width", "8", "--target", "0.9",
)  # fmt: skip


def environment(folder):
    return {**os.environ, "HOME": str(folder), "XDG_CACHE_HOME": str(folder), "MINIDL_DATA": ""}


def cli(folder, *arguments):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "minidl", "compare", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=180,
        env=environment(folder),
    )
    return done.returncode, done.stdout, done.stderr


def test_the_command(tmp_path):
    code, out, err = cli(tmp_path, *FAST, "--jobs", 2, "--json", "out.json", "--keep", "kept")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == (
        "spirals: 8 wide, batches of 64, SGD with momentum 0.9, 40 steps, 2 seeds; to a training loss of 0.9"
    )
    assert lines[1].split() == " ".join(report.HEAD).split()
    record = json.loads((tmp_path / "out.json").read_text())
    assert record["task"]["seeds"] == 2
    assert [(c["depth"], c["scheme"]) for c in record["cells"]] == [
        (1, "xavier_uniform"), (1, "zeros"), (2, "xavier_uniform"), (2, "zeros"),
    ]  # fmt: skip
    for line, cell in zip(lines[2:6], record["cells"], strict=True):
        words = line.split()
        assert words[:4] == ["tanh", str(cell["depth"]), cell["scheme"], f"{cell['lr']:g}"]
        assert words[4] == ("never" if cell["steps"] is None else str(cell["steps"]))
        assert f"{cell['failed']} of 2" in line
    assert [c["steps"] is None for c in record["cells"]][1::2] == [True, True]
    why = [line for line in lines if line.startswith("zeros, tanh: theory ")]
    assert len(why) == 1
    assert len(list((tmp_path / "kept").iterdir())) == 4
    # again: everything is looked up, also the seconds
    assert cli(tmp_path, *FAST, "--keep", "kept")[1].splitlines()[:6] == lines[:6]


def test_the_picture(tmp_path):
    pytest.importorskip("matplotlib")
    code, out, err = cli(tmp_path, *FAST, "--plot", "curves.png")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "drawn to curves.png"
    assert (tmp_path / "curves.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_what_is_drawn_is_what_was_measured():
    pytest.importorskip("matplotlib")
    cells = [
        compare.Cell("spirals", "tanh", depth, s) for depth in (1, 2) for s in ("xavier_uniform", "zeros")
    ]
    cells.append(compare.Cell("spirals", "tanh", 2, "fixup"))
    records = compare.run(cells, {"spirals": TINY})
    picture = plots.figure(records, {"spirals": TINY})
    *panels, last = picture.axes
    for panel, depth in zip(panels, (1, 2), strict=True):
        assert panel.get_title() == f"spirals, tanh, {depth} hidden"
        shown = [line.get_ydata() for line in panel.lines if len(line.get_ydata()) == 6]
        drawn = [r for c, r in records.items() if c.depth == depth and "curves" in r]
        assert len(shown) == len(drawn)
        for line, record in zip(shown, drawn, strict=True):
            assert np.array_equal(line, np.median(record["curves"], axis=0))
    words = {text.get_text() for text in last.texts}
    assert words == {str(r["steps"] or "never") if "steps" in r else "refused" for r in records.values()}
    assert [label.get_text() for label in last.get_yticklabels()] == list(
        dict.fromkeys(c.scheme for c in cells)
    )


def test_ctrl_c_keeps_what_is_finished(tmp_path):
    arguments = ["--data", "spirals", "--seeds", "3", "--depth", "1,2,3,4,5,6,7,8", "--init", "he_normal"]
    with subprocess.Popen(
        [sys.executable, "-m", "minidl", "compare", *arguments, "--jobs", "2", "--keep", "kept"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(tmp_path),
        start_new_session=True,
    ) as process:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("kept/*.json")) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "interrupted\n")
    files = list((tmp_path / "kept").iterdir())
    assert 1 <= len(files) < 8
    assert all("record" in json.loads(path.read_text()) for path in files)


MISTAKES = {
    "data": (("--data", "moons"), "--data 'moons' is unknown|--data='moons' is unknown"),
    "init": (("--init", "hee_normal"), "hee_normal"),
    "empty init": (("--init", "zeros,,ones"), "--init 'zeros,,ones': expected names"),
    "activation": (("--activation", "rellu"), "Did you mean 'relu'"),
    "depth": (("--depth", "3,x"), "--depth '3,x': expected integers"),
    "depth 0": (("--depth", "0"), "depth=0"),
    "lr": (("--lr", "fast"), "--lr 'fast': expected numbers"),
    "lr 0": (("--lr", "0"), "learning rate=0.0"),
    "seeds": (("--seeds", "0"), "seeds=0"),
    "jobs": (("--jobs", "0"), "jobs=0"),
    "json": (("--json", "no/where.json"), "the folder does not exist"),
    "keep": (("--keep", "file"), "file is a file"),
    "mnist": (("--data", "mnist"), "MINIDL_DATA"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_line_and_code_2(case, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    compare.load.cache_clear()
    arguments, words = MISTAKES[case]
    code = main(["compare", "--data", "spirals", "--steps", "10", *arguments])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1, err
    assert re.search(words, err), err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_picture_of_an_unknown_kind_is_refused_before_the_work(monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(command, "run", None)
    code = main(["compare", *FAST, "--plot", "curves.docx"])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert "curves.docx: expected a file name that ends in" in err


def test_lists_are_cut_at_commas_outside_of_brackets():
    assert command.split("--init", "a, b(1, [2, 3]),c") == ["a", "b(1, [2, 3])", "c"]


def test_a_signal_that_overflows_is_infinite_without_a_warning():
    task = compare.TASKS["spirals"].with_options(steps=10, learning_rates=(0.1,), seeds=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        record = compare.measure(
            compare.Cell("spirals", "relu", 60, "constant(3.0)"), task, compare.load("spirals")
        )
    assert (record["rms"], record["contrast"]) == (None, 0.0)
    assert record["diverged"] == 1
