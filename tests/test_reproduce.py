"""Reproductions: theory against sampled matrices, gradients against PyTorch, verdicts, resuming."""

import dataclasses
import json
import math
import os
import subprocess
import sys
from argparse import Namespace

import numpy as np
import pytest

import minidl
from minidl import init, jobs, reproduce, theory
from minidl.errors import OptionError
from minidl.reproduce import command, glorot2010, signals, training, work
from minidl.reproduce.glorot2010 import CHANCE, CONFIGURATIONS, Glorot2010, Profile
from minidl.reproduce.report import Report, Row
from minidl.reproduce.signals import Signals, back_propagated, predict
from minidl.reproduce.singular_values import mean_singular_value, predicted_mean_singular_value
from minidl.reproduce.training import SCHEMES, Training, images, network

TINY = Profile(
    nets=2, signal_width=60, examples=1, width=8, updates=30, pick_updates=20, learning_rates=(0.01, 0.1),
    seeds=2, cost="seconds",
)  # fmt: skip


@pytest.fixture
def small_sets(monkeypatch):
    """Fewer images to evaluate on."""
    monkeypatch.setattr(training, "N_VALIDATION", 200)
    monkeypatch.setattr(training, "N_TEST", 300)


@pytest.fixture
def tiny(monkeypatch, small_sets):
    monkeypatch.setattr(Glorot2010, "profiles", {"tiny": TINY})
    return Glorot2010()


def without_seconds(result):
    return {name: value for name, value in result.items() if name != "seconds"}


# --- singular values ------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 1 / 3, 4.0])
def test_without_activation_the_mean_is_that_of_the_quarter_circle(scale):
    expected = 8 / (3 * math.pi) * math.sqrt(scale)
    assert predicted_mean_singular_value("identity", 0.7, scale) == pytest.approx(expected, rel=1e-12)
    assert predicted_mean_singular_value("tanh", 1e-12, scale) == pytest.approx(expected, rel=1e-9)


def normal_quantiles(n):
    scipy_special = pytest.importorskip("scipy.special")
    return scipy_special.ndtri((np.arange(n) + 0.5) / n)


@pytest.mark.parametrize(
    ("activation", "slope", "q"),
    [
        ("tanh", lambda x: 1 / np.cosh(x) ** 2, 0.3),
        ("tanh", lambda x: 1 / np.cosh(x) ** 2, 4.0),
        ("softsign", lambda x: 1 / (1 + np.abs(x)) ** 2, 1.0),
        ("sigmoid", lambda x: 0.25 / np.cosh(x / 2) ** 2, 1.0),
        ("relu", lambda x: (x > 0) * 1.0, 1.0),
    ],
)
def test_the_predicted_mean_is_that_of_sampled_matrices(activation, slope, q):
    """Singular values are rigid: their mean moves by about 1 / n."""
    n, rng = 500, np.random.default_rng(1)
    d = slope(math.sqrt(q) * normal_quantiles(n))
    sampled = [mean_singular_value(rng.normal(size=(n, n)) / math.sqrt(n) * d) for _ in range(2)]
    assert np.mean(sampled) == pytest.approx(predicted_mean_singular_value(activation, q), rel=0.006)


def test_a_flat_activation_and_bad_numbers_are_refused():
    with pytest.raises(OptionError, match="activation="):
        predicted_mean_singular_value(theory.Function(np.ones_like, derivative=np.zeros_like), 1.0)
    with pytest.raises(OptionError, match="q=0"):
        predicted_mean_singular_value("tanh", 0.0)
    with pytest.raises(OptionError, match="scale="):
        predicted_mean_singular_value("tanh", 1.0, -1.0)


# --- signals of a new network ---------------------------------------------------------------------


def test_the_schemes_are_those_of_the_paper():
    for n, m in ((1024, 300), (300, 300), (300, 9)):
        assert SCHEMES["standard"].bound(n, m) == pytest.approx(1 / math.sqrt(n), rel=1e-12)
        assert SCHEMES["normalized"].bound(n, m) == pytest.approx(math.sqrt(6 / (n + m)), rel=1e-12)
    for scheme in SCHEMES:
        net = network("tanh", scheme, 20, 2, seed=3)
        assert all(not net.params[f"{k}.bias"].any() for k in range(3))


@pytest.mark.parametrize("activation", ["tanh", "softsign", "sigmoid"])
def test_gradients_of_single_images_against_torch(activation):
    torch = pytest.importorskip("torch")
    functions = {
        "tanh": torch.tanh,
        "softsign": torch.nn.functional.softsign,
        "sigmoid": torch.sigmoid,
    }
    net = network(activation, "normalized", 12, 3, seed=0)
    X, y = images(training.MONITORED, 7)
    inputs, gradients = back_propagated(net, X, y)
    x, sums, entered = torch.tensor(X.astype(np.float64)), [], []
    for k in range(4):
        entered.append(x)
        s = x @ torch.tensor(net.params[f"{k}.weight"].astype(np.float64))
        s.requires_grad_() if k == 0 else s.retain_grad()
        sums.append(s)
        x = functions[activation](s)
    torch.nn.functional.cross_entropy(sums[-1], torch.tensor(y), reduction="sum").backward()
    for ours, theirs in zip(inputs, entered, strict=True):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(gradients, sums, strict=True):
        np.testing.assert_allclose(
            ours, theirs.grad.numpy(), rtol=1e-3, atol=1e-5 * float(theirs.grad.abs().max())
        )


def test_what_is_measured_is_what_numpy_says():
    job = Signals("tanh", "standard", 30, 3, seed=2, examples=2)
    result = job.measure()
    net = network("tanh", "standard", 30, 3, seed=2)
    X, y = images(training.MONITORED, training.N_MONITORED)
    weights = [net.params[f"{k}.weight"].astype(np.float64) for k in range(4)]
    a = [X.astype(np.float64)]
    for w in weights[:-1]:
        a.append(np.tanh(a[-1] @ w))
    logits = a[-1] @ weights[-1]
    delta = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    delta[np.arange(len(y)), y] -= 1
    assert result["output_gradient"] == pytest.approx(np.mean(np.sum(delta**2, axis=1)), rel=1e-5)
    deltas = [delta]
    for k in (3, 2, 1):
        deltas.insert(0, deltas[0] @ weights[k].T * (1 - a[k] ** 2))
    for k in range(3):
        assert result["activation_std"][k] == pytest.approx(a[k + 1].std(), rel=1e-5)
        assert result["gradient_std"][k] == pytest.approx(deltas[k].std(), rel=1e-4)
        assert sum(result["activations"][k]) == sum(result["gradients"][k]) == 300 * 30
        counts = np.histogram(a[k + 1], signals.BINS)[0]
        assert np.abs(counts - result["activations"][k]).sum() <= 10  # rounding at the borders
    for k in range(4):
        single = a[k][:, :, None] * deltas[k][:, None, :]
        assert result["weight_gradient_std"][k] == pytest.approx(np.sqrt(np.mean(single**2)), rel=1e-4)
        assert result["batch_weight_gradient_std"][k] == pytest.approx(single.mean(axis=0).std(), rel=1e-3)
    rows = np.argsort(np.mean(X**2, axis=1))[[75, 225]]  # a quarter and three quarters of the contrast
    for k in (1, 2):
        jacobians = [weights[k] * (1 - a[k + 1][row] ** 2) for row in rows]
        expected = [np.linalg.svd(j, compute_uv=False).mean() for j in jacobians]
        assert result["jacobian"][k - 1] == pytest.approx(np.mean(expected), rel=1e-4)
        sv = np.linalg.svd(weights[k], compute_uv=False)
        assert result["weight"][k - 1] == pytest.approx(sv.mean(), rel=1e-4)
    assert without_seconds(job.measure()) == without_seconds(result)


WIDTH, N_NETS = 400, 4


@pytest.fixture(scope="module")
def new():
    return {
        (a, s): [
            Signals(a, s, WIDTH, 5, seed, 1 if a == "tanh" and seed < 2 else 0).measure()
            for seed in range(N_NETS)
        ]
        for a in ("tanh", "softsign")
        for s in SCHEMES
    }


@pytest.fixture(scope="module")
def predictions(new):
    return {key: predict(*key, WIDTH, 5) for key in new}


def test_the_closed_form_statements_hold(new, predictions):
    """Also at width 400, where one network is off by sqrt(1 / 800) per layer, the mean of four by half."""
    measured = {key: [net for net in nets if net["weight"]] for key, nets in new.items()}
    rows = glorot2010.singular_value_rows(measured, predictions)
    assert [row.verdict for row in rows] == ["holds"] * 4
    assert [row.theory for row in rows[:2]] == pytest.approx(
        [8 / (3 * math.pi * math.sqrt(3)), 8 / (3 * math.pi)]
    )
    for row in rows:
        assert row.ours == pytest.approx(row.theory, rel=0.04)
    rows = glorot2010.signal_rows(new, predictions)
    assert len(rows) == 8
    assert [row.verdict for row in rows] == ["holds"] * 8
    rows = glorot2010.gradient_rows(new, predictions)
    assert [row.verdict for row in rows] == ["holds"] * 4
    assert rows[0].theory == pytest.approx(0.098, abs=0.01)  # close to 1 / 9 of the linear regime
    for row in rows[:3]:
        assert row.ours == pytest.approx(row.theory, rel=0.1)


def test_the_other_scheme_is_noticed(new, predictions):
    """The negative control: networks of one scheme against the claims for the other."""
    other = {"standard": "normalized", "normalized": "standard"}
    swapped = {(a, s): new[a, other[s]] for a, s in new}
    rows = glorot2010.signal_rows(swapped, predictions)
    assert [row.verdict for row in rows] == ["does not hold"] * 8
    rows = glorot2010.gradient_rows(swapped, predictions)
    assert [row.verdict for row in rows[:2]] == ["does not hold"] * 2
    measured = {key: [net for net in nets if net["weight"]] for key, nets in swapped.items()}
    rows = glorot2010.singular_value_rows(measured, predictions)
    assert [row.verdict for row in rows] == ["does not hold"] * 4


# --- trainings ------------------------------------------------------------------------------------


def test_a_training_is_one_step_after_the_other(small_sets):
    job = Training("tanh", "normalized", 8, 2, lr=0.05, seed=1, updates=7, look=3)
    result = job.measure()
    net, losses = network("tanh", "normalized", 8, 2, seed=1), []
    X_monitored, _ = images(training.MONITORED, 300)
    X_stream, y_stream = minidl.datasets.shapeset(70, 2_000_000, pixel_range=(-1.0, 1.0))
    for first, steps in ((0, 3), (30, 3), (60, 1)):
        X, y = (part[first : first + 10 * steps] for part in (X_stream, y_stream))
        order = init.Stream(1, "compare", 0).permutation(len(X))
        means = []
        for batch in np.split(order, steps):
            means.append(net.train_step(X[batch], y[batch], loss="cross_entropy", optimizer=minidl.SGD(0.05)))
        losses.append(np.mean(means))
    assert result["updates"] == [3, 6, 7]
    assert result["losses"] == pytest.approx(losses, rel=1e-6)
    hidden = X_monitored
    for k, mean in enumerate(result["means"][-1]):
        hidden = np.tanh(hidden @ net.params[f"{k}.weight"] + net.params[f"{k}.bias"])
        assert mean == pytest.approx(hidden.mean(), abs=1e-5)
    X, y = minidl.datasets.shapeset(300, training.TEST, pixel_range=(-1.0, 1.0))
    assert result["error"] == pytest.approx(np.mean(net.predict(X).argmax(axis=1) != y))
    X, y = minidl.datasets.shapeset(200, training.VALIDATION, pixel_range=(-1.0, 1.0))
    assert result["validation_error"] == pytest.approx(np.mean(net.predict(X).argmax(axis=1) != y))
    assert not result["diverged"]


def test_no_image_is_seen_twice_and_arms_see_the_same(monkeypatch, small_sets):
    seen = {}

    def spy(net, X, y, *args, train=training.compare.train, **options):
        seen.setdefault((net.layers[0].activation.name, net.seed), []).append(X)
        return train(net, X, y, *args, **options)

    monkeypatch.setattr(training.compare, "train", spy)
    for activation, scheme, seed in (
        ("tanh", "standard", 0), ("softsign", "normalized", 0), ("tanh", "standard", 1),
    ):  # fmt: skip
        Training(activation, scheme, 4, 1, 0.1, seed=seed, updates=220, look=60).measure()
    one, other, next_seed = (np.concatenate(parts) for parts in seen.values())
    assert np.array_equal(one, other)
    assert len(one) == len(next_seed) == 2200  # three blocks
    held_out = [images(training.TEST, 300)[0], images(training.VALIDATION, 200)[0]]
    everything = np.concatenate([one, next_seed, *held_out])
    assert len({row.tobytes() for row in everything}) == len(everything)


def test_a_training_that_diverges_says_so(small_sets):
    result = Training("tanh", "normalized", 8, 1, lr=1e38, seed=0, updates=60, look=20).measure()
    assert result["diverged"]
    assert 0 < result["error"] <= 1
    assert len(result["updates"]) == len(result["losses"]) == len(result["means"])


# --- rows and reports -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "limits", "by", "ours", "verdict"),
    [
        ((6.0, 7.0, 8.0), {"low": 5.0}, "median", 7.0, "holds"),
        ((4.0, 7.0, 8.0), {"low": 5.0}, "median", 7.0, "does not hold"),  # two of three are not 4 of 5
        ((4.0, 7.0, 8.0, 9.0, 6.0), {"low": 5.0}, "median", 7.0, "holds"),
        ((4.0, 4.0, 8.0, 9.0, 6.0), {"low": 5.0}, "median", 6.0, "does not hold"),
        ((5.0,), {"low": 5.0}, "median", 5.0, "holds"),
        ((2.0, 9.0), {"high": 6.0}, "mean", 5.5, "holds"),
        ((2.0, 11.0), {"high": 6.0}, "mean", 6.5, "does not hold"),
        ((0.4, 0.5, 0.6), {"low": 0.4, "high": 0.6}, "median", 0.5, "holds"),
        ((0.4, 0.5, 0.6), {"low": 0.55, "high": 0.6}, "median", 0.5, "does not hold"),
        ((math.nan, 7.0, 8.0), {"low": 5.0}, "median", math.nan, "does not hold"),
        ((1.0, 2.0), {}, "median", 1.5, "-"),
    ],
)
def test_verdicts(values, limits, by, ours, verdict):
    row = Row("x", values, by=by, **limits)
    assert row.ours == pytest.approx(ours, nan_ok=True)
    assert row.verdict == verdict


def test_a_miss_is_printed_as_a_miss():
    rows = (
        Row("gap", (1.0, 2.0, 3.0), "Table 1", "11.55", low=5.0, note="Too short."),
        Row("ratio", (0.1,), "Fig. 7", theory=0.098, high=0.15, digits=3),
        Row("error", (30.0,), "Table 1", "27.15"),
    )
    text = str(Report("demo", "demo: three rows", rows, seconds=3.0))
    lines = text.splitlines()
    assert lines[0] == "demo: three rows"
    miss, hit, shown = (line.split("  ") for line in lines[2:5])
    assert [cell.strip() for cell in miss if cell.strip()] == [
        "gap", "Table 1", "11.55", "-", "2.00", "1.00 to 3.00", ">= 5.00", "does not hold", "0",
    ]  # fmt: skip
    assert [cell.strip() for cell in hit if cell.strip()] == [
        "ratio", "Fig. 7", "-", "0.098", "0.100", "0.100 to 0.100", "<= 0.150", "holds", "0",
    ]  # fmt: skip
    assert "holds" not in shown
    assert "gap: Too short." in lines
    assert lines[-1] == "1 of 2 statements hold; 3 s of one core."


def fake_run(monkeypatch, errors, validation=None, diverged=()):
    """Let all jobs be instant; errors: name in Table 1 -> test error of each seed."""
    names = {(a, s): name for name, (a, s, _) in CONFIGURATIONS.items()}

    def train(job):
        name = names[job.activation, job.scheme]
        picking = job.seed == glorot2010.PICK_SEED
        error = 0.5 if picking else errors[name][job.seed]
        top = 0.5 - 4.2 * job.lr if job.depth == 4 else 0.5
        return {
            "error": 0.9 * job.lr if picking else error,  # the test set would pick the lowest rate
            "validation_error": (validation or {}).get((name, job.lr), 0.5),
            "validation_loss": 1.0 + job.lr,
            "updates": [job.updates],
            "losses": [1.0],
            "means": [[0.5] * (job.depth - 1) + [top]],
            "diverged": (name, job.lr) in diverged,
            "seconds": 1.0,
        }

    monkeypatch.setattr(Training, "measure", train)


GOOD = {
    "Softsign": (0.20, 0.21, 0.22), "Softsign N": (0.19, 0.20, 0.21), "Tanh": (0.30, 0.28, 0.29),
    "Tanh N": (0.20, 0.19, 0.18), "Sigmoid": (0.83, 0.83, 0.84),
}  # fmt: skip


def by_statement(report):
    return {row.statement: row for row in report.rows}


def test_the_table_follows_from_the_trainings(monkeypatch, tiny):
    monkeypatch.setattr(Glorot2010, "profiles", {"tiny": dataclasses.replace(TINY, seeds=3)})
    fake_run(monkeypatch, GOOD)
    rows = by_statement(tiny.run("tiny"))
    assert rows["test error, Tanh [%]"].values == pytest.approx((30, 28, 29))
    assert rows["test error, Tanh [%]"].verdict == "-"
    gap = rows["test error, Tanh - Tanh N [points]"]
    assert (gap.values, gap.verdict) == (pytest.approx((10, 9, 11)), "holds")
    assert rows["test error, |Softsign - Softsign N| [points]"].verdict == "holds"
    sigmoid = rows["test error, Sigmoid [%]"]
    assert (sigmoid.verdict, sigmoid.theory) == ("holds", pytest.approx(250 / 3))
    assert "no better than chance" in sigmoid.note
    assert rows["sigmoid, lr 0.01: lowest mean of top layer, first 10 %"].verdict == "does not hold"
    assert rows["sigmoid, lr 0.01: lowest mean of top layer, first 10 %"].ours == pytest.approx(0.458)
    assert rows["sigmoid, lr 0.1: lowest mean of top layer, first 10 %"].verdict == "holds"
    assert rows["sigmoid, all rates: lowest mean of other layers, first 10 %"].verdict == "holds"
    assert abs(CHANCE - 83.3333) < 1e-3

    fake_run(monkeypatch, {**GOOD, "Tanh": (0.30, 0.22, 0.21), "Softsign N": (0.30, 0.26, 0.27)})
    rows = by_statement(tiny.run("tiny"))
    gap = rows["test error, Tanh - Tanh N [points]"]
    assert (gap.values, gap.ours, gap.verdict) == (
        pytest.approx((10, 3, 3)),
        pytest.approx(3),
        "does not hold",
    )
    assert rows["test error, |Softsign - Softsign N| [points]"].verdict == "does not hold"
    stuck = (0.833, 0.834, 0.833)
    fake_run(monkeypatch, {**GOOD, "Tanh": stuck, "Tanh N": stuck})
    note = by_statement(tiny.run("tiny"))["test error, Tanh - Tanh N [points]"].note
    assert "did not leave the plateau" in note
    assert "says nothing" in note


def test_validation_picks_the_learning_rate(monkeypatch, tiny):
    fake_run(monkeypatch, GOOD)
    assert set(tiny.run("tiny").data["rates"].values()) == {0.01}  # equal errors: the lower loss
    better = {("Tanh", 0.1): 0.4, ("Tanh N", 0.1): 0.4}
    fake_run(monkeypatch, GOOD, better, diverged={("Tanh N", 0.1)})
    report = tiny.run("tiny")
    assert report.data["rates"] == {**dict.fromkeys(CONFIGURATIONS, 0.01), "Tanh": 0.1}
    assert "learning rate 0.1, at the border" in by_statement(report)["test error, Tanh [%]"].note
    table = next(table for heading, table in report.tables.items() if "picked" in heading)
    assert [line.split() for line in table.splitlines() if line.startswith("Tanh ")] == [
        ["Tanh", "50.0", "40.0", "*"], ["Tanh", "N", "50.0", "*", "40.0"],
    ]  # fmt: skip


# --- the work: cache, processes, interruptions ----------------------------------------------------


def test_an_interrupted_run_goes_on(monkeypatch, tmp_path, tiny):
    whole = tiny.run("tiny")
    measured = []
    for kind in (Training, Signals):

        def spy(job, measure=kind.measure):
            measured.append(job)
            return measure(job)

        monkeypatch.setattr(kind, "measure", spy)

    def stop(done, total):
        if done == 5:
            raise KeyboardInterrupt

    cache = tmp_path / "cache.json"
    with pytest.raises(KeyboardInterrupt):
        tiny.run("tiny", cache=cache, progress=stop)
    assert len(measured) == 5
    assert len(json.loads(cache.read_text())["minidl reproduce"]) == 5
    again = tiny.run("tiny", cache=cache)
    assert len(measured) == len(set(measured)) == 8 + 10 + 4 + 10
    assert [without_seconds(vars(row)) for row in again.rows] == [
        without_seconds(vars(row)) for row in whole.rows
    ]
    last = tiny.run("tiny", cache=cache)
    assert len(measured) == 32
    assert str(last) == str(again)
    assert [path.name for path in tmp_path.iterdir()] == ["cache.json"]


def test_processes_change_nothing(tmp_path):
    jobs_ = [Training("tanh", "standard", 4, 1, 0.1, seed, updates=4, look=2) for seed in range(3)]
    alone = work.complete(jobs_)
    together = work.complete(jobs_, work.Cache(tmp_path / "c.json"), processes=2)
    assert list(alone) == list(together) == jobs_
    for job in jobs_:
        assert without_seconds(alone[job]) == without_seconds(together[job])


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", '{"other": {}}', "weights, precious"])
def test_a_file_that_is_no_cache_is_left_alone(tmp_path, content, tiny):
    path = tmp_path / "precious.json"
    path.write_text(content)
    with pytest.raises(OptionError, match=r"precious\.json: is no cache of minidl reproduce"):
        tiny.run("tiny", cache=path)
    assert path.read_text() == content


def test_a_cache_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path, job = tmp_path / "cache.json", Training("tanh", "standard", 4, 1, 0.1, 0, 4, 2)
    cache = work.Cache(path)
    cache.put(job, {"error": 0.25})
    before = path.read_text()

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        cache.put(dataclasses.replace(job, seed=1), {"error": 0.5})
    monkeypatch.undo()
    assert path.read_text() == before
    assert work.Cache(path).get(job) == {"error": 0.25}


def test_a_result_belongs_to_everything_that_decides_it(monkeypatch):
    cache, job = work.Cache(), Training("tanh", "standard", 4, 1, 0.1, 0, 4, 2)
    cache.put(job, {"error": 0.25})
    for change in ({"lr": 0.2}, {"scheme": "normalized"}, {"updates": 5}, {"depth": 2}, {"look": 1}):
        assert cache.get(dataclasses.replace(job, **change)) is None
    monkeypatch.setattr(work, "RECIPE", work.RECIPE + 1)
    assert cache.get(job) is None


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_in_a_job_ends_all(processes):
    with pytest.raises(ValueError, match="invalid literal"):
        list(jobs.each(int, ["1", "two", "3"], processes))
    assert dict(jobs.each(int, ["1", "2"], processes)) == {"1": 1, "2": 2}


# --- names and the command ------------------------------------------------------------------------


def test_unknown_names_list_the_known_ones():
    with pytest.raises(OptionError, match=r"reproduction='he2015' is unknown\..*Known: glorot2010\."):
        reproduce.get("he2015")
    with pytest.raises(OptionError, match=r"profile='tiny' is unknown\..*Known: full, quick\."):
        reproduce.get("glorot2010").run("tiny")
    with pytest.raises(OptionError, match="seeds=0"):
        reproduce.get("glorot2010").run("quick", seeds=0)
    with pytest.raises(OptionError, match="processes=0"):
        reproduce.get("glorot2010").run("quick", processes=0)


def test_the_profiles():
    """The sizes that were announced: a change makes results of before and after incomparable."""
    full, quick = Glorot2010.profiles["full"], Glorot2010.profiles["quick"]
    assert (full.width, full.updates, full.pick_updates, full.seeds) == (300, 60_000, 20_000, 3)
    assert full.learning_rates == quick.learning_rates == (0.003, 0.01, 0.03, 0.1)
    assert full.signal_width == quick.signal_width == 1000
    assert full.nets == quick.nets == 5


def options(**given):
    names = ("name", "seeds", "threads", "cache", "plot", "json")
    return Namespace(**{**dict.fromkeys(names), "profile": "tiny", "name": "glorot2010", **given})


def test_the_command_prints_writes_and_draws(tmp_path, capsys, tiny):
    pytest.importorskip("matplotlib")
    paths = {
        "cache": str(tmp_path / "cache.json"),
        "json": str(tmp_path / "out.json"),
        "plot": str(tmp_path / "f"),
    }
    command.main(options(threads=1, seeds=1, **paths))
    out = capsys.readouterr().out
    assert out.startswith(
        "glorot2010, tiny: at initialization 2 networks of 5 x 60; "
        "trained 30 updates of 10 images, 5 x 8, 1 seed\n"
    )
    record = json.loads((tmp_path / "out.json").read_text(), parse_constant=pytest.fail)
    lines = out.splitlines()[2 : 2 + len(record["rows"])]
    assert len(lines) == 26
    for line, row in zip(lines, record["rows"], strict=True):
        assert line.startswith(row["statement"])
        assert f"{row['ours']:.{row['digits']}f}" in line
        assert row["verdict"] in line
        assert len(row["values"]) in (1, 2)  # seeds, networks
    drawn = sorted(path.name for path in (tmp_path / "f").iterdir())
    assert drawn == [
        "glorot2010-fig02-saturation.png", "glorot2010-fig06-activations.png",
        "glorot2010-fig07-gradients.png", "glorot2010-fig11-learning.png",
    ]  # fmt: skip
    command.main(options(threads=1, seeds=1, cache=paths["cache"], plot=str(tmp_path / "all.png")))
    again = capsys.readouterr().out
    assert again.splitlines()[:-1] == out.splitlines()[: len(again.splitlines()) - 1]
    assert (tmp_path / "all.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_what_is_drawn_is_what_was_measured(tiny):
    figure_ = pytest.importorskip("matplotlib.figure")
    data = tiny.run("tiny").data
    pictures = tiny.pictures()
    figure = figure_.Figure()
    pictures["fig06-activations"](figure, data)
    for axes, scheme in zip(figure.axes, SCHEMES, strict=True):
        nets = next(e["nets"] for e in data["signals"] if (e["activation"], e["scheme"]) == ("tanh", scheme))
        assert axes.get_title() == f"tanh, {scheme}"
        for k, line in enumerate(axes.lines):
            counts = np.sum([net["activations"][k] for net in nets], axis=0)
            np.testing.assert_allclose(line.get_ydata(), counts / counts.sum())
    figure = figure_.Figure()
    pictures["fig02-saturation"](figure, data)
    for axes, entry in zip(figure.axes, data["saturation"], strict=True):
        drawn = np.array([line.get_ydata() for line in axes.lines[:4]]).T
        np.testing.assert_allclose(drawn, np.median([run["means"] for run in entry["runs"]], axis=0))
    figure = figure_.Figure()
    pictures["fig11-learning"](figure, data)
    for line, runs in zip(figure.axes[0].lines, data["trained"].values(), strict=True):
        np.testing.assert_allclose(line.get_ydata(), np.median([run["losses"] for run in runs], axis=0))


def test_pictures_survive_trainings_that_diverged(tiny, monkeypatch):
    figure_ = pytest.importorskip("matplotlib.figure")
    wild = dataclasses.replace(TINY, learning_rates=(1e38,), nets=1)
    monkeypatch.setattr(Glorot2010, "profiles", {"tiny": wild})
    report = tiny.run("tiny")
    assert any("diverged" in row.note for row in report.rows)
    json.dumps(report.record(), allow_nan=False)
    for picture in tiny.pictures().values():
        picture(figure_.Figure(), report.data)


def cli(folder, *arguments):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "minidl", "reproduce", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


def test_without_a_name_the_command_lists(tmp_path):
    code, out, err = cli(tmp_path)
    assert (code, err) == (0, "")
    assert out == command.listing() + "\n"
    for word in ("glorot2010", "quick", "full", "minutes", "Understanding the difficulty"):
        assert word in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("glorot2011",), "'glorot2011' is unknown. Did you mean 'glorot2010'? Known: glorot2010."),
        (("glorot2010", "--profile", "ful"), "Did you mean 'full'? Known: full, quick."),
        (("glorot2010", "--seeds", "0"), "seeds=0"),
        (("glorot2010", "--threads", "0"), "--threads=0"),
        (("glorot2010", "--cache", "no/where.json"), "--cache no/where.json: the folder does not exist"),
        (("glorot2010", "--plot", "no/where.png"), "--plot no/where.png: the folder does not exist"),
        (("glorot2010", "--plot", "all.docx"), "all.docx: expected a file name that ends in"),
        (("glorot2010", "--plot", "file"), "file: expected a file name that ends in"),
        (("glorot2010", "--cache", "file"), "file: is no cache"),
        (("--seeds", "2"), "--seeds goes with a name"),
        (("--profile", "full"), "--profile goes with a name"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_code_2(arguments, words, tmp_path):
    (tmp_path / "file").write_text("mine")
    code, out, err = cli(tmp_path, *arguments)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1, err
    assert words in err
    assert (tmp_path / "file").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
