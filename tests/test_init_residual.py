"""Rules for residual networks, on stacks that NumPy builds from descriptions of their layers."""

import json
import math
import pickle

import numpy as np
import pytest

from minidl import init
from minidl.errors import OptionError

RULES = [
    init.Fixup(),
    init.SkipInit(),
    init.SkipInit(alpha=init.DepthPower(-0.5)),
    init.DepthScaled(),
    init.DeepNorm(),
]


def descriptions(blocks, m, width, n_inputs=None, n_outputs=None):
    """Layers of a residual network: a stem and a head, if they have a width, around blocks of m layers."""
    shapes = [(n_inputs, width)] if n_inputs else []
    shapes += [(width, width)] * (blocks * m)
    shapes += [(width, n_outputs)] if n_outputs else []
    specs = []
    for i, shape in enumerate(shapes):
        place = i - bool(n_inputs)
        inside = 0 <= place < blocks * m
        role = (
            "input" if n_inputs and i == 0 else "output" if n_outputs and i == len(shapes) - 1 else "hidden"
        )
        specs.append(
            init.LayerSpec(
                str(i),
                shape,
                activation="relu",
                role=role,
                index=i,
                depth=len(shapes),
                residual_branches=blocks,
                branch_pos=place % m if inside else None,
                branch_layers=m if inside else None,
            )
        )
    return specs


def filled(rule, specs, seed=0):
    rule.check_network(specs)
    weights = []
    for spec in specs:
        weights.append(np.empty(spec.shape))
        rule.init_layer(spec, seed, weights[-1])
    return weights


def relu(x):
    return np.maximum(x, 0.0)


def growth(rule, blocks, m=1, width=500, norm=None, seed=0, rows=20):
    """Second moment of the stream after the last block over that before the first.

    A branch is relu, then a layer, m times.
    """
    specs = descriptions(blocks, m, width)
    weights = filled(rule, specs, seed)
    x = np.random.default_rng(seed).normal(size=(rows, width))
    start = (x**2).mean()
    for block in range(blocks):
        h = norm(x) if norm else x
        for W in weights[block * m : block * m + m]:
            h = relu(h) @ W
        spec = specs[block * m]
        x = rule.skip_scale(spec) * x + rule.branch_scale(spec) * h
    return (x**2).mean() / start


def rms_norm(x):
    return x / np.sqrt((x**2).mean(axis=1, keepdims=True))


def batch_norm(x):
    return (x - x.mean(axis=0)) / x.std(axis=0)


class Plain(init.ResidualRule):
    """The control: He everywhere, and no scalar."""

    base = init.He()

    def in_branch(self, spec, base, reason):
        return base, reason


# --- variance laws --------------------------------------------------------------------------------


def test_without_a_rule_the_signal_doubles_per_block():
    """y = x + W relu(x), He: E y^2 = 2 E x^2. 10 blocks of width 500, 15 % on the logarithm."""
    found = np.mean([math.log(growth(Plain(), 10, seed=seed)) for seed in range(5)])
    assert found == pytest.approx(10 * math.log(2), rel=0.15)


def test_batch_norm_in_the_branch_adds_one_per_block():
    """E y^2 = L + 1 (De, Smith 2020), rows enough for the statistics."""
    assert growth(Plain(), 10, norm=batch_norm, rows=200) == pytest.approx(11, rel=0.1)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_rules_that_start_at_the_identity(m):
    assert growth(init.SkipInit(), 10, m=m, width=50) == 1.0
    assert growth(init.Fixup(), 10, m=m, width=50) == 1.0


@pytest.mark.parametrize("blocks", [5, 25, 100])
@pytest.mark.parametrize("m", [1, 2])
def test_branches_over_the_root_of_their_number(blocks, m):
    """Each adds 1/B: (1 + 1/B)^B, at most e. Width 100, mean of 5."""
    for rule in (init.SkipInit(alpha=init.DepthPower(-0.5)), init.DepthScaled()):
        found = np.mean([growth(rule, blocks, m=m, width=100, seed=seed) for seed in range(5)])
        assert found == pytest.approx((1 + 1 / blocks) ** blocks, rel=0.1), rule


@pytest.mark.parametrize("blocks", [5, 100])
def test_depth_scaled_with_norm_doubles_the_stream_once(blocks):
    """With a norm in each branch every block adds 1/B: what GPT-2's rule is made for."""
    found = np.mean([growth(init.DepthScaled(), blocks, width=200, norm=rms_norm, seed=s) for s in range(5)])
    assert found == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize("blocks", [4, 100])
def test_deep_norm_before_its_norm(blocks):
    """alpha x + W2 relu(W1 x) of rms 1, Xavier times beta: alpha^2 + beta^4 / 2."""
    specs = descriptions(blocks, 2, 300)
    rule = init.DeepNorm()
    W1, W2 = filled(rule, specs)[:2]
    x = rms_norm(np.random.default_rng(0).normal(size=(50, 300)))
    alpha, beta = (blocks) ** 0.25, (4 * blocks) ** -0.25
    sum_ = rule.skip_scale(specs[0]) * x + rule.branch_scale(specs[0]) * (relu(x @ W1) @ W2)
    assert (sum_**2).mean() == pytest.approx(alpha**2 + beta**4 / 2, rel=0.02)


# --- numbers of the papers ------------------------------------------------------------------------


def test_deep_norm_of_a_transformer():
    """First table of arXiv:2203.00555, encoder or decoder alone: N layers are 2N branches."""
    for n, alpha, beta in [(6, 12**0.25, 48**-0.25), (100, 200**0.25, 800**-0.25)]:
        spec = descriptions(2 * n, 2, 8)[0]
        assert init.DeepNorm().skip_scale(spec) == pytest.approx(alpha, rel=1e-9)
        chosen = init.DeepNorm().resolve(spec)[0]
        assert chosen.std(8, 8) == pytest.approx(beta * math.sqrt(2 / 16), rel=1e-9)


def test_gpt2():
    """12 blocks of two branches: the projections at the end of each start from 0.02 / sqrt(24)."""
    specs = descriptions(24, 2, 768, n_outputs=50257)
    rule = init.DepthScaled("normal(0.02)")
    stds = [rule.resolve(spec)[0].std(*spec.shape) for spec in specs]
    assert stds[:4] == pytest.approx([0.02, 0.02 / math.sqrt(24)] * 2, rel=1e-9)
    assert stds[-1] == 0.02


@pytest.mark.parametrize(
    ("m", "blocks", "factor"), [(2, 54, 54**-0.5), (3, 16, 16**-0.25), (4, 8, 8 ** (-1 / 6))]
)
def test_fixup(m, blocks, factor):
    """L^(-1/(2m-2)) for all layers of a branch but the last; the last and the classifier are 0."""
    specs = descriptions(blocks, m, 8, n_inputs=5, n_outputs=3)
    chosen = [init.Fixup().resolve(spec)[0] for spec in specs]
    assert chosen[0] == init.He()
    assert chosen[-1] == init.Zeros()
    for spec, initializer in zip(specs[1:-1], chosen[1:-1], strict=True):
        if spec.branch_pos == m - 1:
            assert initializer == init.Zeros()
        else:
            assert initializer.std(8, 8) == pytest.approx(factor * 0.5, rel=1e-9)
    assert init.Fixup().branch_scale(specs[1]) == 1.0


def test_a_branch_of_one_layer_under_fixup():
    specs = descriptions(3, 1, 8)
    assert [init.Fixup().resolve(spec)[0] for spec in specs] == [init.Zeros()] * 3


# --- what Fixup is for ----------------------------------------------------------------------------


def change_of_outputs(rule, blocks, width=24, steps=3, lr=0.02):
    """Mean change of the outputs by SGD on a residual net of two-layer branches, gradients by hand."""
    specs = descriptions(blocks, 2, width, n_inputs=10, n_outputs=4)
    W = filled(rule, specs, seed=1)
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(20, 10)), rng.normal(size=(20, 4))

    def forward():
        x, tape = X @ W[0], []
        for b in range(blocks):
            h = relu(x @ W[1 + 2 * b])
            tape.append((x, h))
            x = x + h @ W[2 + 2 * b]
        return x, tape, x @ W[-1]

    start = forward()[2]
    for _ in range(steps):
        x, tape, out = forward()
        d = (out - T) / len(X)
        grads = [None] * len(W)
        grads[-1] = x.T @ d
        d = d @ W[-1].T
        for b in reversed(range(blocks)):
            x, h = tape[b]
            grads[2 + 2 * b] = h.T @ d
            dh = d @ W[2 + 2 * b].T * (h > 0)
            grads[1 + 2 * b] = x.T @ dh
            d = d + dh @ W[1 + 2 * b].T
        grads[0] = X.T @ d
        for w, g in zip(W, grads, strict=True):
            w -= lr * g
    return np.abs(forward()[2] - start).mean()


def test_fixup_updates_do_not_depend_on_depth():
    """The claim of the paper, for 10 to 1000 branches."""
    found = [change_of_outputs(init.Fixup(), blocks) for blocks in (10, 100, 1000)]
    assert max(found) <= 1.02 * min(found), found


def test_and_without_its_factor_they_do():
    class Unscaled(init.Fixup):
        def in_branch(self, spec, base, reason):
            chosen, reason = super().in_branch(spec, base, reason)
            return getattr(chosen, "base", chosen), reason

    few, many = (change_of_outputs(Unscaled(), blocks) for blocks in (10, 1000))
    assert many >= 10 * few, (few, many)


def test_rezero_starts_with_gradients_of_the_scalars_only():
    """y = x + a W relu(x), a = 0: dy/da = W relu(x) is not 0, dy/dW = 0."""
    spec = descriptions(1, 1, 20)[0]
    rule = init.SkipInit()
    (W,) = filled(rule, [spec])
    x = np.random.default_rng(0).normal(size=20)
    assert rule.branch_scale(spec) == 0.0
    assert np.linalg.norm(relu(x) @ W) > 0.1


# --- descriptions that lack something -------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_missing_information(rule):
    plain = init.LayerSpec("7", (4, 4))
    weight = np.full((4, 4), 7.0)
    fields = "'7'.*residual_branches.*branch_pos and branch_layers"
    for call in (
        lambda: rule.resolve(plain),
        lambda: rule.init_layer(plain, 0, weight),
        lambda: rule.check_network([plain]),
    ):
        with pytest.raises(OptionError, match=fields):
            call()
    assert (weight == 7.0).all()
    outside = init.LayerSpec("7", (4, 4), residual_branches=3)
    rule.resolve(outside)  # a stem is fine,
    with pytest.raises(OptionError, match=r"none of the layers 7 is in a residual branch: branch_pos"):
        rule.check_network([outside])  # but not alone
    with pytest.raises(OptionError, match="description of a layer"):
        rule.init((4, 4), rng=0)
    if isinstance(rule, init.SkipInit):
        with pytest.raises(OptionError, match=fields):
            rule.branch_scale(plain)
    if isinstance(rule, init.DeepNorm):
        with pytest.raises(OptionError, match=fields):
            rule.skip_scale(plain)


def test_a_plain_network_refuses_them():
    import minidl

    for rule in RULES:
        with pytest.raises(OptionError, match="without residual branches"):
            minidl.MLP([4, 8, 8, 2], init=rule, seed=0)


# --- as values ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule",
    [
        *RULES,
        init.Fixup(init.He("uniform")),
        init.SkipInit(init.LeCun(), 0.25),
        init.SkipInit(alpha=init.DepthPower(-1.0, scale=2.0)),
        init.DepthScaled(init.Normal(0.02)),
        init.DeepNorm(init.Xavier()),
    ],
    ids=repr,
)
def test_they_are_values(rule):
    assert eval(repr(rule), vars(init)) == rule
    assert init.from_dict(json.loads(json.dumps(rule.to_dict()))) == rule
    assert pickle.loads(pickle.dumps(rule)) == rule
    assert hash(pickle.loads(pickle.dumps(rule))) == hash(rule)
    specs = descriptions(3, 2, 6, n_inputs=4, n_outputs=2)
    for spec in specs:
        arrays = {dtype: np.empty(spec.shape, dtype) for dtype in ("float32", "float64")}
        for array in arrays.values():
            rule.init_layer(spec, 3, array)
        assert (arrays["float32"] == arrays["float64"].astype("float32")).all()


def test_names():
    assert init.get("fixup") == init.Fixup()
    assert init.get("rezero") == init.get("skip_init") == init.SkipInit()
    assert init.get("deep_norm") == init.DeepNorm()
    assert init.get("depth_scaled(base='normal(0.02)')") == init.DepthScaled(init.Normal(0.02))


@pytest.mark.parametrize("alpha", [-0.1, float("nan"), float("inf"), "0", None, True])
def test_bad_alpha(alpha):
    with pytest.raises(OptionError, match="alpha"):
        init.SkipInit(alpha=alpha)
