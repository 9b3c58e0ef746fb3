"""The command, as a user starts it: a fresh process in a folder of its own."""

import csv
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import minidl
from minidl import kernels

QUICK = ("--epochs", "1", "--hidden", "8")


def start(folder, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "minidl", *map(str, arguments)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HOME": str(folder), "XDG_CACHE_HOME": str(folder), "MINIDL_DATA": ""},
    )


def run(folder, *arguments):
    process = start(folder, *arguments)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def table(out):
    """Return the rows of the table at the end."""
    lines = out.rpartition("\n\n")[2].splitlines()
    return {line[:17].strip(): line[18:].strip() for line in lines}


def write_csv(path, n=120, bad=None):
    rng = np.random.default_rng(0)
    label = np.arange(n) % 3
    X = rng.normal(size=(n, 3)) * 0.3 + np.eye(3)[label] * 2
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["kind", "a", "b", "c"])
        for row, k in zip(X, label, strict=True):
            writer.writerow([["cat", "dog", "eel"][k], *row.round(3)])
        if bad is not None:
            writer.writerow(bad)


# --- what works -----------------------------------------------------------------------------------


def test_spirals(tmp_path):
    code, out, err = run(tmp_path, "train", "--data", "spirals", "--epochs", 1, "--batch-size", 100)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("spirals: 2400 rows to train on, 600 to test, 2 features")
    assert lines[1] == "network 2-64-64-3, relu, 4,547 parameters, float32"
    assert lines[2].startswith("epoch 1/1  loss ")
    found = table(out)
    assert found["steps"] == "24"
    assert found["ISA"] in kernels.available_isa()
    assert 0.2 < float(found["test accuracy"]) <= 1
    assert float(found["test loss"]) < 1.5
    assert float(found["steps per second"]) > 0


def test_csv_with_save_and_load(tmp_path):
    write_csv(tmp_path / "pets.csv")
    arguments = ("train", "--data", "pets.csv", "--target", "kind", "--hidden", "16,8")
    arguments += ("--activation", "tanh", "--init", "xavier_normal", "--dtype", "float64")
    arguments += ("--epochs", 30, "--batch-size", 16, "--seed", 3, "--lr", 0.05, "--threads", 1)
    code, out, err = run(tmp_path, *arguments, "--save", "pets.safetensors")
    assert (code, err) == (0, "")
    assert "pets.csv: 96 rows to train on, 24 to test, 3 features" in out
    assert out.endswith("saved to pets.safetensors\n")
    assert table(out.removesuffix("saved to pets.safetensors\n"))["test accuracy"] == "1.0000"
    net = minidl.load(tmp_path / "pets.safetensors")
    assert net.params["0.weight"].shape == (3, 16)
    assert (net.dtype, net.seed, net.n_outputs) == ("float64", 3, 3)
    assert net.training.epochs == 30
    assert str(net.layers[0].activation) == "tanh"
    centres = np.eye(3) * 2
    assert net.predict(centres).argmax(axis=1).tolist() == [0, 1, 2]
    again = run(tmp_path, *arguments, "--save", "again.safetensors")
    assert again[0] == 0  # the same seed, the same file
    one, two = (tmp_path / f"{name}.safetensors" for name in ("pets", "again"))
    assert one.read_bytes() == two.read_bytes()


def test_npz_regression(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (200, 2))
    np.savez(tmp_path / "table.npz", X=X, y=3 * X[:, 0] - X[:, 1] + 0.5)
    code, out, err = run(
        tmp_path, "train", "--data", "table.npz", "--hidden", "", "--epochs", 20, "--batch-size", 10
    )
    assert (code, err) == (0, "")
    assert "network 2-1, relu" in out
    found = table(out)
    assert float(found["test loss"]) < 1e-3
    assert "test accuracy" not in found


def test_config(tmp_path):
    code, out, err = run(tmp_path, "config")
    assert (code, err) == (0, "")
    facts = dict(line.split(maxsplit=1) for line in out.splitlines() if len(line.split()) > 1)
    assert facts["minidl"] == minidl.__version__
    assert facts["isa"].split()[0] in (*kernels.available_isa(), "available")
    assert facts["numpy"] == np.__version__
    for name in ("threads", "openmp", "compiler", "numerics", "platform", "cpu"):
        assert facts[name]


def test_help(tmp_path):
    code, out, err = run(tmp_path, "train", "--help")
    assert (code, err) == (0, "")
    for option in ("--data", "--hidden", "--lr", "--save", "--threads", "--seed", "--dtype"):
        assert option in out


# --- what does not --------------------------------------------------------------------------------

MISTAKES = {
    "data": (("--data", "spiral"), "--data='spiral' is unknown. Did you mean 'spirals'"),
    "no file": (("--data", "nothing.csv"), "nothing.csv: no such file"),
    "npz": (("--data", "broken.npz"), "broken.npz: expected an .npz archive"),
    "cell": (("--data", "cell.csv", "--target", "kind"), "cell.csv, line 122, column 'b'.*'x'"),
    "target": (("--data", "pets.csv", "--target", "knd"), "target='knd' is unknown. Did you mean 'kind'"),
    "target of spirals": (("--data", "spirals", "--target", "a"), "only a CSV file"),
    "activation": (("--data", "spirals", "--activation", "rellu"), "Did you mean 'relu'"),
    "init": (("--data", "spirals", "--init", "he_norma"), "Did you mean 'he_normal'"),
    "lr": (("--data", "spirals", "--lr", "0"), "lr=0.0: expected a finite number > 0"),
    "momentum": (("--data", "spirals", "--momentum", "1"), "momentum=1.0: expected"),
    "batch": (("--data", "spirals", "--batch-size", "0"), "batch_size=0: expected an integer >= 1"),
    "epochs": (("--data", "spirals", "--epochs", "0"), "epochs=0: expected an integer >= 1"),
    "hidden": (("--data", "spirals", "--hidden", "64,x"), "--hidden '64,x': expected widths"),
    "hidden sign": (("--data", "spirals", "--hidden", "-5"), "--hidden"),
    "dtype": (("--data", "spirals", "--dtype", "float16"), "dtype='float16': expected 'float32'"),
    "threads": (("--data", "spirals", "--threads", "0"), "num_threads=0: expected an integer from 1 to 1024"),
    "seed": (("--data", "spirals", "--seed", "-1"), "seed=-1: expected an integer >= 0"),
    "data dir": (("--data", "mnist", "--data-dir", "nowhere"), "nowhere"),
    "data dir of spirals": (("--data", "spirals", "--data-dir", "."), "only --data mnist"),
    "save": (("--data", "spirals", "--save", "no/where.st"), "--save no/where.st: the folder does not"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_line_and_code_2(case, tmp_path):
    write_csv(tmp_path / "pets.csv")
    write_csv(tmp_path / "cell.csv", bad=["cat", "1", "x", "2"])
    (tmp_path / "broken.npz").write_bytes(b"PK\3\4 not a zip")
    arguments, words = MISTAKES[case]
    code, out, err = run(tmp_path, "train", *arguments)
    assert code == 2
    assert "epoch" not in out
    lines = err.splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("minidl: error: ")
    assert re.search(words, lines[0]), lines[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.npz", "cell.csv", "pets.csv"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "required: COMMAND"),
        (("trian",), "invalid choice: 'trian'"),
        (("train", "--lr", "fast"), "argument --lr: invalid float value: 'fast'"),
        (("train", "--epoch", "3"), "unrecognized arguments: --epoch"),
    ],
)
def test_a_mistake_of_syntax_is_code_2(arguments, words, tmp_path):
    code, out, err = run(tmp_path, *arguments)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    assert words in err.splitlines()[-1]


def test_divergence_is_one_line_and_code_1(tmp_path):
    code, _, err = run(tmp_path, "train", "--data", "spirals", "--lr", "1e9", "--epochs", 3)
    assert code == 1
    assert err.startswith("minidl: error: training diverged at epoch ")
    assert err.count("\n") == 1


# --- interruption ---------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_with_130_a_table_and_a_file(number, tmp_path):
    arguments = ("--epochs", 1000000, "--hidden", "64,64", "--save", "net.safetensors")
    process = start(tmp_path, "train", "--data", "spirals", *arguments)
    try:
        for line in process.stdout:  # wait until it trains
            if line.startswith("epoch "):
                break
        sent = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        seconds = time.monotonic() - sent
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert err == ""
    assert seconds < 30  # it did not train to the end
    assert "parameters of the last finished step kept" in out
    steps = int(out.partition("interrupted after ")[2].split()[0])
    found = table(out.removesuffix("saved to net.safetensors\n"))
    assert int(found["steps"]) == steps > 0
    net = minidl.load(tmp_path / "net.safetensors")
    assert net.training.steps == steps
    assert np.isfinite(net.params.flat).all()
