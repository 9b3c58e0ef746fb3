"""``minidl inits``: the table, all that one scheme knows, a histogram, a picture, data."""

import importlib.util
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from minidl import cli, init
from minidl.errors import OptionError
from minidl.init import catalogue, registry, sample

HE = [
    "He()",
    "formula: Var(W) = 2 / fan_in, normal",
    "law: normal, by fan_in",
    "assumes: relu",
    "fails: activations that damp more",
    "source: He, Zhang, Ren, Sun 2015",
    "for (fan_in=784, fan_out=256): Normal(std=0.0505",
    "names: he, kaiming, he_normal, kaiming_normal",
    "other names of its class: he_truncated_normal, he_uniform",
    "arguments: distribution='normal', mode='fan_in', slope=0.0",
    "a draw for (fan_in=784, fan_out=256), relu, seed 0:",
]


def run(capsys, *arguments):
    """Run the command in this process; return code and output."""
    try:
        code = cli.main(["inits", *map(str, arguments)])
    except SystemExit as stop:  # of the parser
        code = stop.code
    out, err = capsys.readouterr()
    return code, out, err


def library_names():
    """The names of the library itself: other tests may have registered their own."""
    return [
        name
        for scheme in catalogue.schemes()
        if scheme.family != catalogue.OTHER
        for name in (*scheme.names, *scheme.presets)
    ]


def test_as_a_command(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "minidl", "inits", "he_normal"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    flat = " ".join(done.stdout.split())
    assert all(fact in flat for fact in HE)


# --- the table ------------------------------------------------------------------------------------


def test_table_shows_every_name(capsys):
    code, out, err = run(capsys)
    assert (code, err) == (0, "")
    for name in library_names():
        assert re.search(rf"\b{name}\b", out), name
    rows = {line.split("  ")[1].strip(): line for line in out.splitlines() if line.startswith("  ")}
    he = re.split(r"\s{2,}", rows["he, kaiming"].strip())
    assert he == ["he, kaiming", "normal", "fan_in", "-", "He et al. 2015", "Var(W) = 2 / fan_in, normal"]
    assert "Glorot, Bengio 2010" in rows["glorot, xavier"]


def test_table_is_sorted_by_family(capsys):
    out = run(capsys)[1]
    titles = [line for line in out.splitlines() if line in catalogue.FAMILIES]
    assert titles == [name for name in catalogue.FAMILIES if name in titles]
    assert {"plain", "variance scaling", "composition", "chosen by layer"} <= set(titles)
    for scheme in catalogue.schemes():
        assert scheme.family in out


def test_families_name_modules_that_there_are():
    modules = [module for family in catalogue.FAMILIES.values() for module in family]
    assert len(set(modules)) == len(modules)
    for module in modules:
        assert importlib.util.find_spec(f"minidl.init.{module}"), module


def test_table_as_data(capsys):
    code, out, err = run(capsys, "--json")
    assert (code, err) == (0, "")
    records = json.loads(out)
    assert {name for record in records for name in record["names"] + record["presets"]} >= set(
        library_names()
    )
    he = next(record for record in records if record["class"] == "He")
    assert he["paper"] == init.He.paper
    assert (he["formula"], he["fan"], he["needs_data"]) == (init.He().formula, "fan_in", False)


def test_a_scheme_of_the_user_is_in_the_table(capsys, monkeypatch):
    monkeypatch.setattr(registry, "_factories", dict(registry._factories))
    monkeypatch.setattr(registry, "_classes", dict(registry._classes))

    class Mine(init.Initializer):
        formula = "W = mine"

        def __init__(self, needed):
            raise AssertionError("not to be called without its argument")

    init.register("mine", Mine)
    init.register("small", lambda: init.Normal(1e-3))  # no class: nothing is known of it
    out = run(capsys)[1]
    assert catalogue.OTHER in out
    assert re.search(r"^  mine\b", out, re.MULTILINE)
    assert run(capsys, "small")[1].startswith("Normal(std=0.001)\n")


@pytest.mark.parametrize(
    ("paper", "short"),
    [
        ("Glorot, Bengio 2010, Understanding ...", "Glorot, Bengio 2010"),
        ("He, Zhang, Ren, Sun 2015, Delving deep into rectifiers, arXiv:1502.01852", "He et al. 2015"),
        ("Jacot, Gabriel and Hongler 2018, Neural tangent kernel", "Jacot et al. 2018"),
        ("Martens 2010, Deep learning via Hessian-free optimization", "Martens 2010"),
        ("sklearn.neural_network, Glorot, Bengio 2010", "-"),
        ("none (a definition)", "-"),
        ("none (in use since 1990)", "-"),
    ],
)
def test_short_source(paper, short):
    assert catalogue._short_source(paper) == short


# --- one scheme -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", library_names())
def test_every_name_has_a_card(capsys, name):
    code, out, err = run(capsys, name)
    if code == 2:  # it needs an argument
        assert err.startswith("minidl: error: ")
        assert len(err.splitlines()) == 1
        kind = next(s for s in catalogue.schemes() if name in (*s.names, *s.presets)).kind
        with pytest.raises(TypeError):
            kind()
        return
    assert (code, err) == (0, "")
    x = init.get(name)
    lines = out.splitlines()
    assert lines[0] == repr(x)
    flat = " ".join(out.split())
    assert " ".join(x.formula.split()) in flat
    assert re.search(rf"names: [^:]*\b{name}\b", flat)
    assert "a draw for" in flat or "no draw: " in flat


@pytest.mark.parametrize("x", ["he", "xavier", "normal(0.02)", "auto"])
def test_card_has_the_moments_of_the_draw(capsys, x):
    out = run(capsys, x, "--shape", "300x100", "--seed", 3, "--activation", "relu")[1]
    chosen = init.get(x)
    spec = init.LayerSpec("1", (300, 100), activation="relu", input_activation="relu", index=1, depth=3)
    weight = np.empty((300, 100))
    chosen.init_layer(spec, 3, weight)
    assert f"std {weight.std():.4g} (law {chosen.resolve(spec)[0].std(300, 100):.4g})" in out
    assert f"min {weight.min():.4g}, max {weight.max():.4g} " in out
    assert f"mean {weight.mean():.4g} (law 0)" in out
    assert "(fan_in=300, fan_out=100), relu, seed 3" in out


def test_card_says_where_an_argument_differs(capsys):
    out = " ".join(run(capsys, "he(slope=0.2)")[1].split())
    assert "slope=0.2 (default 0.0)" in out
    assert "Var(W) = 1.92308 / fan_in" in out
    assert " names: he" not in out.replace("other names of its class: he", "")


def test_card_judges_an_activation(capsys):
    good = " ".join(run(capsys, "he", "--activation", "relu")[1].split())
    bad = " ".join(run(capsys, "xavier", "--activation", "relu")[1].split())
    assert f"for relu: suits: {init.He().suits('relu').reason}" in good
    assert f"for relu: does not suit: {init.Xavier().suits('relu').reason}" in bad
    assert "leaky_relu(0.2), seed 0" in run(capsys, "auto", "--activation", "leaky_relu(0.2)")[1]
    chosen = run(capsys, "auto", "--activation", "tanh")[1]
    spec = init.LayerSpec("1", (784, 256), activation="tanh", input_activation="tanh", index=1, depth=3)
    assert repr(init.get("auto").resolve(spec)[0]) in chosen


def test_card_shows_the_bias(capsys):
    assert "bias: mean" not in run(capsys, "he")[1]
    out = run(capsys, "pair('he', 'constant(0.5)')")[1]
    assert "bias: mean 0.5, std 0, min 0.5, max 0.5" in out


def test_card_as_data(capsys):
    code, out, err = run(capsys, "he_uniform", "--json", "--shape", "200x100", "--activation", "relu")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert init.from_dict(found["initializer"]) == init.He("uniform")
    assert found["variance"] == 0.01
    assert found["bound"] == pytest.approx(0.03**0.5)
    assert found["verdict"]["ok"] is True
    assert "relu" in found["suits"]
    assert "identity" in found["does_not_suit"]
    assert found["draw"]["weight"]["std"] == pytest.approx(0.1, rel=0.02)
    assert found["draw"]["bias"] == {"mean": 0.0, "std": 0.0, "min": 0.0, "max": 0.0}
    assert json.loads(run(capsys, "he", "--json")[1])["bound"] is None  # infinite
    assert json.loads(run(capsys, "fixed([[1, 2]])", "--json")[1])["draw"] is None


# --- the histogram --------------------------------------------------------------------------------


def test_histogram_counts_and_expects():
    shown = sample.draw(init.Normal(0.1), (500, 200))
    rows = [
        re.fullmatch(r"\s*(\S+) to (\S+)\s+([\d.]+) %  \(law\s+([\d.]+) %\)\s*(#*)", line)
        for line in sample.histogram(shown).splitlines()[:-1]
    ]
    assert all(rows)
    shares = np.array([float(row[3]) for row in rows])
    law = np.array([float(row[4]) for row in rows])
    bars = np.array([len(row[5]) for row in rows])
    assert shares.sum() == pytest.approx(100, abs=0.05 * len(rows))
    assert law.sum() == pytest.approx(100, abs=0.05 * len(rows))
    # five standard errors of a share of 100 000, and the rounding of both
    assert np.all(np.abs(shares - law) < 500 * np.sqrt(law / 100 / 1e5) + 0.11)
    np.testing.assert_allclose(bars, 40 * shares / shares.max(), atol=0.6)
    left, right = float(rows[0][1]), float(rows[-1][2])
    assert (left, right) == pytest.approx((shown.weight.min(), shown.weight.max()), rel=0.01)


def test_histogram_of_few_values_lists_them():
    shown = sample.draw(init.Fixed([[1.0, 2.0], [2.0, 2.0]]), (2, 2))
    first, second, moments = sample.histogram(shown).splitlines()
    assert first.split() == ["1", "25.0", "%", "#" * 13]
    assert second.split() == ["2", "75.0", "%", "#" * 40]
    assert moments == "mean 1.75, std 0.433, min 1, max 2"  # no law: nothing beside


def test_a_draw_is_on_an_activation_that_is_served():
    class Picky(init.Initializer):
        def init_layer(self, spec, seed, weight, bias=None):
            if spec.activation != "selu":
                raise OptionError(f"selu only, got {spec.activation}.")
            weight[...] = 1.0
            bias[...] = 0.0

    assert sample.draw(Picky(), (3, 2)).spec.activation == "selu"
    with pytest.raises(OptionError, match="got relu"):
        sample.draw(Picky(), (3, 2), "relu")


# --- pictures -------------------------------------------------------------------------------------


def test_plot(capsys, tmp_path):
    pyplot_image = pytest.importorskip("matplotlib.image")
    for name in ("he_uniform", "normal", "constant(0.5)", "pair('he', 'ones')"):
        path = tmp_path / "draw.png"
        code, out, err = run(capsys, name, "--plot", path)
        assert (code, err) == (0, "")
        assert out.endswith(f"written to {path}\n")
        image = pyplot_image.imread(path)[..., :3]
        assert image.shape[0] > 300
        assert 0.003 < np.mean(np.ptp(image, axis=2) > 0.05) < 0.9  # something is drawn, in colour
        path.unlink()
    code, out, err = run(capsys, "he", "--json", "--plot", tmp_path / "draw.svg")
    assert code == 0
    assert json.loads(out)["repr"] == "He()"
    assert "written to" in err
    assert (tmp_path / "draw.svg").read_text().lstrip().startswith("<?xml")


def test_plot_is_lazy_and_says_what_is_missing(capsys, tmp_path, monkeypatch):
    for name in list(sys.modules):
        if name.partition(".")[0] == "matplotlib":
            monkeypatch.delitem(sys.modules, name)
    assert run(capsys, "he")[0] == 0
    assert "matplotlib" not in sys.modules
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as if it were not installed
    code, out, err = run(capsys, "he", "--plot", tmp_path / "draw.png")
    assert (code, out) == (2, "")
    assert err == "minidl: error: a picture needs matplotlib: pip install matplotlib.\n"
    assert os.listdir(tmp_path) == []


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["he_norml"], "Did you mean 'he_normal'"),
        (["he(slope=x)"], "literal arguments"),
        (["he(slope='a')"], "slope"),
        (["constant"], "value"),
        (["he", "--activation", "rela"], "Did you mean 'relu'"),
        (["he", "--shape", "784"], "784x256"),
        (["he", "--shape", "0x3"], "784x256"),
        (["he", "--shape", "3xa"], "784x256"),
        (["he", "--shape", "3x4x5"], "784x256"),
        (["fixed([[1, 2]])", "--shape", "3x3"], "shape"),
        (["he", "--plot", "no/where/he.png"], "the folder does not exist"),
        (["--plot", "he.png"], "goes with a name"),
        (["--shape", "3x3"], "goes with a name"),
        (["--activation", "relu"], "goes with a name"),
        (["he", "--seed", "one"], "seed"),
        (["he", "xavier"], "unrecognized"),
    ],
)
def test_mistakes_are_one_line(capsys, arguments, match):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("minidl: error: ")
    assert len(err.splitlines()) == 1
    assert match in err


def test_unknown_format_of_a_picture(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    code, out, err = run(capsys, "he", "--plot", tmp_path / "he.xyz")
    assert (code, out) == (2, "")
    assert "xyz" in err
    assert len(err.splitlines()) == 1
