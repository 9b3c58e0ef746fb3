"""``minidl.interop.torch.initialize``: PyTorch modules get the weights that a net of minidl would have."""

import dataclasses
import itertools
import subprocess
import sys
import warnings
from dataclasses import dataclass

import numpy as np
import pytest

import minidl
from minidl import init
from minidl.errors import DtypeError, InitWarning, MinidlError, OptionError, ShapeError
from minidl.init import registry
from minidl.interop.torch import initialize, layout

torch = pytest.importorskip("torch")
nn = torch.nn


def mlp(*widths, activation=nn.ReLU, dtype=torch.float32):
    parts = []
    for fan_in, fan_out in itertools.pairwise(widths):
        parts += [nn.Linear(fan_in, fan_out, dtype=dtype), activation()]
    return nn.Sequential(*parts[:-1])


def state(module):
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def unchanged(module, before):
    now = module.state_dict()
    return now.keys() == before.keys() and all(torch.equal(now[name], before[name]) for name in now)


def expected(spec, scheme, seed=0, dtype=np.float32):
    weight, bias = np.empty(spec.shape, dtype), np.empty(spec.n_outputs, dtype)
    init.get(scheme).init_layer(spec, seed, weight, bias)
    return weight, bias


# --- the same weights -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scheme", ["auto", "he_uniform", "pair('xavier_normal', 'lecun_uniform')"])
@pytest.mark.parametrize("name", ["relu", "tanh", "gelu"])
def test_same_bits_as_a_net_of_minidl(name, scheme, dtype):
    theirs = mlp(
        12,
        9,
        7,
        3,
        activation={"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}[name],
        dtype=getattr(torch, dtype),
    )
    dl = minidl
    ours = dl.Sequential(
        [dl.Dense(9), dl.Activation(name), dl.Dense(7), dl.Activation(name), dl.Dense(3)],
        n_inputs=12,
        init=scheme,
        seed=5,
        dtype=dtype,
    )
    plan = initialize(theirs, scheme, seed=5)
    for path in ("0", "2", "4"):
        weight, bias = ours.params[f"{path}.weight"], ours.params[f"{path}.bias"]
        np.testing.assert_array_equal(theirs[int(path)].weight.detach().numpy(), weight.T)
        np.testing.assert_array_equal(theirs[int(path)].bias.detach().numpy(), bias)
    described = [
        {name: getattr(layer.spec, name) for name in ("path", "role", "index", "depth", "activation")}
        | {"input": layer.spec.input_activation, "fans": (layer.spec.fan_in, layer.spec.fan_out)}
        for layer in ours.init_plan().layers
    ]
    assert described == [
        {name: getattr(layer.spec, name) for name in ("path", "role", "index", "depth", "activation")}
        | {"input": layer.spec.input_activation, "fans": (layer.spec.fan_in, layer.spec.fan_out)}
        for layer in plan.layers
    ]
    assert [layer.initializer for layer in plan.layers] == [p.initializer for p in ours.init_plan().layers]


def every_example():
    for kind in sorted(set(registry._classes.values()), key=lambda kind: kind.__name__):
        if kind.__module__.startswith("minidl.init."):
            yield from (eval(text, dict(vars(init))) for text in kind.examples)


@pytest.mark.parametrize("x", [x for x in every_example() if not x.needs_data], ids=repr)
def test_every_scheme_does_the_same_in_both(x):
    """What fills a net of minidl fills that of PyTorch with the same bits; what is refused, is by both."""
    dl = minidl
    for torch_layer, name in ((nn.Tanh, "tanh"), (nn.ReLU, "relu")):
        theirs = mlp(6, 6, 6, 6, activation=torch_layer)
        before = state(theirs)
        layers = [dl.Dense(6), dl.Activation(name), dl.Dense(6), dl.Activation(name), dl.Dense(6)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InitWarning)
            try:
                ours = dl.Sequential(layers, n_inputs=6, init=x, seed=2)
            except MinidlError as error:
                with pytest.raises(type(error)):
                    initialize(theirs, x, seed=2)
                assert unchanged(theirs, before)
                continue
            initialize(theirs, x, seed=2)
        for path in ("0", "2", "4"):
            weight, bias = ours.params[f"{path}.weight"], ours.params[f"{path}.bias"]
            np.testing.assert_array_equal(theirs[int(path)].weight.detach().numpy(), weight.T)
            np.testing.assert_array_equal(theirs[int(path)].bias.detach().numpy(), bias)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Conv1d(4, 6, 3),
        lambda: nn.Conv2d(4, 6, (2, 3)),
        lambda: nn.Conv2d(4, 6, 3, groups=2, bias=False),
        lambda: nn.Conv3d(2, 3, (1, 2, 3)),
        lambda: nn.ConvTranspose1d(4, 6, 3),
        lambda: nn.ConvTranspose2d(4, 6, (2, 3), groups=2),
        lambda: nn.ConvTranspose3d(2, 3, 2),
        lambda: nn.Linear(5, 4, bias=False),
    ],
)
def test_kernels_have_the_fans_of_what_they_compute(make):
    """Pre-activations keep the second moment of unit inputs under LeCun, where every tap counts."""
    layer = make()
    plan = initialize(nn.Sequential(layer), "lecun_uniform", seed=3)
    (spec,) = [planned.spec for planned in plan.layers]
    assert spec.axes == dataclasses.replace(layout(type(layer).__name__), groups=getattr(layer, "groups", 1))
    n_in = getattr(layer, "in_channels", None) or layer.in_features
    probe = torch.zeros(1, n_in, *[9] * (layer.weight.dim() - 2), requires_grad=True)
    ones = type(layer)(*_arguments(layer))
    with torch.no_grad():
        ones.weight.fill_(1.0)
    y = ones(probe)
    (used,) = torch.autograd.grad(y[(0, 0, *(n // 2 for n in y.shape[2:]))], probe)
    fan_in = int((used != 0).sum())
    assert spec.fan_in == fan_in
    weight = layer.weight.detach().numpy()
    assert np.abs(weight).max() <= np.float32((3 / fan_in) ** 0.5)
    assert np.abs(weight).max() > 0.8 * (3 / fan_in) ** 0.5
    np.testing.assert_array_equal(weight, expected(spec, "lecun_uniform", 3)[0])
    assert layer.bias is None or torch.all(layer.bias == 0)


def _arguments(layer):
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features, False
    transposed = isinstance(layer, nn.modules.conv._ConvTransposeNd)
    rest = (0, layer.groups, False) if transposed else (1, layer.groups, False)
    return (layer.in_channels, layer.out_channels, layer.kernel_size, 1, 0, *rest)


def test_half_precision_is_float32_rounded():
    whole = mlp(30, 20, 10)
    initialize(whole, "he", seed=2)
    for dtype in (torch.float16, torch.bfloat16):
        half = mlp(30, 20, 10, dtype=dtype)
        initialize(half, "he", seed=2)
        for a, b in zip(half.parameters(), whole.parameters(), strict=True):
            assert a.dtype == dtype
            assert torch.equal(a, b.to(dtype))


def test_seed_is_a_number_or_a_stream():
    one, other, third = mlp(5, 4, 3), mlp(5, 4, 3), mlp(5, 4, 3)
    initialize(one, "he", seed=7)
    initialize(other, "he", seed=init.Stream(7))
    initialize(third, "he", seed=8)
    assert unchanged(one, state(other))
    assert not torch.equal(one[0].weight, third[0].weight)


def test_weights_depend_on_the_path_not_on_other_layers():
    small, large = nn.Module(), nn.Module()
    small.head = nn.Linear(4, 3)
    large.body, large.head = nn.Linear(6, 4), nn.Linear(4, 3)
    initialize(small, "he")
    initialize(large, "he")
    assert torch.equal(small.head.weight, large.head.weight)


# --- what is known of a layer ---------------------------------------------------------------------


def activations_of(module, **options):
    return {layer.spec.path: layer.spec.activation for layer in initialize(module, "he", **options).layers}


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (nn.ReLU(), "relu"),
        (nn.ReLU6(), "relu6"),
        (nn.LeakyReLU(0.2), "leaky_relu(0.2)"),
        (nn.LeakyReLU(), "leaky_relu"),
        (nn.PReLU(), "leaky_relu(0.25)"),
        (nn.ELU(0.5), "elu(0.5)"),
        (nn.CELU(2.0), "celu(2.0)"),
        (nn.SELU(), "selu"),
        (nn.GELU(), "gelu"),
        (nn.GELU(approximate="tanh"), "gelu_tanh"),
        (nn.SiLU(), "silu"),
        (nn.Mish(), "mish"),
        (nn.Tanh(), "tanh"),
        (nn.Sigmoid(), "sigmoid"),
        (nn.Hardtanh(), "hard_tanh"),
        (nn.Hardsigmoid(), "hard_sigmoid"),
        (nn.Hardswish(), "hard_swish"),
        (nn.Softplus(), "softplus"),
        (nn.Softsign(), "softsign"),
        (nn.LogSigmoid(), "log_sigmoid"),
    ],
    ids=repr,
)
def test_activation_is_inferred_and_is_the_same_function(module, name):
    net = nn.Sequential(nn.Linear(3, 4), module, nn.Linear(4, 2))
    assert activations_of(net) == {"0": name, "2": "identity"}
    x = np.linspace(-7, 7, 2001)
    theirs = module(torch.from_numpy(x).to(torch.float32)).detach().numpy()
    np.testing.assert_allclose(minidl.activations.forward(name, x), theirs, atol=2e-5)


def test_activation_behind_other_modules():
    net = nn.Sequential(
        nn.Sequential(nn.Linear(3, 4, bias=False), nn.BatchNorm1d(4)),
        nn.Dropout(0.1),
        nn.Tanh(),
        nn.Sequential(nn.Sequential(nn.Linear(4, 4)), nn.ELU(0.5)),
        nn.Linear(4, 4),
        nn.Linear(4, 2),
        nn.LogSoftmax(dim=1),
    )
    plan = initialize(net, "he")
    specs = {layer.spec.path: layer.spec for layer in plan.layers}
    assert {path: spec.activation for path, spec in specs.items()} == {
        "0.0": "tanh",
        "3.0.0": "elu(0.5)",
        "4": "identity",
        "5": "softmax",
    }
    assert [spec.norm for spec in specs.values()] == ["batch_norm", None, None, None]
    assert [spec.input_activation for spec in specs.values()] == ["identity", "tanh", "elu(0.5)", "identity"]
    assert [spec.role for spec in specs.values()] == ["input", "hidden", "hidden", "output"]
    assert [(spec.index, spec.depth) for spec in specs.values()] == [(i, 4) for i in range(4)]


class Block(nn.Module):
    """Layers that are called in a forward of one's own: what follows them is not to be seen."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(6, 5)
        self.fc2 = nn.Linear(5, 6)

    def forward(self, x):
        return x + self.fc2(torch.relu(self.fc1(x)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])
        self.head = nn.Linear(6, 2)


PATHS = ["blocks.0.fc1", "blocks.0.fc2", "blocks.1.fc1", "blocks.1.fc2", "head"]


def test_unknown_activation_is_an_error_where_it_matters():
    net = Net()
    before = state(net)
    with pytest.raises(OptionError, match=r"blocks\.0\.fc1.*activation='relu'"):
        initialize(net, "auto")
    assert unchanged(net, before)
    assert [layer.spec.path for layer in initialize(net, "he").layers] == PATHS
    for odd in (nn.Hardtanh(-2.0, 2.0), nn.Softplus(beta=3.0), nn.Softmin(dim=1)):
        with pytest.raises(OptionError, match="layer '0'"):
            initialize(nn.Sequential(nn.Linear(3, 3), odd, nn.Linear(3, 3)), "auto")


def test_a_chain_with_a_forward_of_its_own_is_not_trusted():
    class Backwards(nn.Sequential):
        def forward(self, x):
            for part in reversed(self):
                x = part(x)
            return x

    net = Backwards(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))
    with pytest.raises(OptionError, match="layer '0'"):
        initialize(net, "auto")


def test_activation_by_name_and_by_pattern():
    named = activations_of(Net(), activation="gelu")
    assert named == {**dict.fromkeys(PATHS, "gelu"), "head": "identity"}
    given = {"blocks.1.fc1": "tanh", "*.fc1": "swish", "head": "sigmoid"}
    assert activations_of(Net(), activation=given) == {
        "blocks.0.fc1": "silu",
        "blocks.0.fc2": "identity",
        "blocks.1.fc1": "tanh",
        "blocks.1.fc2": "identity",
        "head": "sigmoid",
    }
    # what the user says counts more than what the module says
    assert activations_of(mlp(3, 3, 3), activation={"0": "tanh"})["0"] == "tanh"
    plan = initialize(Net(), "auto", activation="tanh")
    assert plan.layers[1].initializer.activation == "tanh"


def test_adjust_tells_what_a_module_does_not():
    def residual(spec):
        if not spec.path.startswith("blocks"):
            return spec
        place = {"branch_pos": int(spec.path[-1]) - 1, "branch_layers": 2, "residual_branches": 2}
        return dataclasses.replace(spec, **place)

    @dataclass(frozen=True, repr=False)
    class LastOfBranchIsZero(init.Rule):
        def resolve(self, spec):
            last = spec.branch_pos is not None and spec.branch_pos == spec.branch_layers - 1
            return (init.Zeros() if last else init.He()), "test"

    net = Net()
    initialize(net, LastOfBranchIsZero(), adjust=residual)
    assert torch.all(net.blocks[0].fc2.weight == 0)
    assert torch.all(net.blocks[1].fc2.weight == 0)
    assert torch.all(net.blocks[0].fc1.weight != 0)
    before = state(net)
    for wrong, match in [
        (lambda spec: None, "LayerSpec"),
        (lambda spec: dataclasses.replace(spec, path="other"), "path"),
        (lambda spec: dataclasses.replace(spec, shape=(1, 1)), "shape"),
    ]:
        with pytest.raises(OptionError, match=match):
            initialize(net, "he", adjust=wrong)
    assert unchanged(net, before)


# --- the plan -------------------------------------------------------------------------------------


def test_plan_prints_what_was_filled_and_what_was_not():
    net = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 4), nn.LayerNorm(4), nn.ReLU(), nn.Linear(4, 2))
    embedding, scale = net[0].weight.detach().clone(), net[2].weight.detach().clone()
    plan = initialize(net, "auto")
    assert isinstance(plan, init.InitPlan)
    assert [layer.spec.path for layer in plan.layers] == ["1", "4"]
    assert [(m.path, m.kind) for m in plan.left_alone] == [("0", "Embedding"), ("2", "LayerNorm")]
    header, first, second, *rest = str(plan).splitlines()
    assert header.split()[:4] == ["layer", "shape", "activation", "init"]
    assert first.split()[:6] == ["1", "(4,", "4)", "relu", "He()", "0.5"]
    assert "output layer" in second
    assert [line.split(":")[0] for line in rest] == ["left alone"] * 2
    assert torch.equal(net[0].weight, embedding)
    assert torch.equal(net[2].weight, scale)


def test_attention_and_recurrent_layers_are_left_alone():
    net = nn.ModuleDict(
        {"attention": nn.MultiheadAttention(4, 2), "lstm": nn.LSTM(4, 4), "fc": nn.Linear(4, 4)}
    )
    before = state(net)
    plan = initialize(net, "he")
    assert [layer.spec.path for layer in plan.layers] == ["attention.out_proj", "fc"]
    assert {m.path for m in plan.left_alone} == {"attention", "lstm"}
    for name, value in net.state_dict().items():
        filled = name.startswith(("fc.weight", "attention.out_proj.weight", "fc.bias"))
        assert torch.equal(value, before[name]) != filled, name


def test_the_example_of_the_docstring():
    net = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    lines = str(initialize(net, "auto", seed=0)).splitlines()
    shown = [line.strip() for line in initialize.__doc__.splitlines()]
    start = shown.index(lines[0])
    for line, text in zip(lines, shown[start : start + len(lines)], strict=True):
        begun = text.removesuffix("...")  # longer lines are cut there
        assert line.startswith(begun) if begun != text else line == text


# --- parameters of every kind ---------------------------------------------------------------------


def test_parameters_keep_their_identity_and_flags():
    net = mlp(5, 4, 3)
    net[0].weight.requires_grad_(False)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    parameters = list(net.parameters())
    initialize(net, "he")
    assert all(a is b for a, b in zip(net.parameters(), parameters, strict=True))
    assert [p.requires_grad for p in parameters] == [False, True, True, True]
    assert all(p.is_leaf and p.grad is None for p in parameters)
    assert optimizer.param_groups[0]["params"][0] is net[0].weight


def test_non_contiguous_parameters():
    net = nn.Sequential(nn.Linear(5, 4))
    net[0].weight = nn.Parameter(torch.zeros(5, 4).T)
    other = nn.Sequential(nn.Linear(5, 4))
    initialize(net, "he")
    initialize(other, "he")
    assert torch.equal(net[0].weight, other[0].weight)
    assert net[0].weight.stride() == (1, 4)
    image = nn.Sequential(nn.Conv2d(4, 6, 3)).to(memory_format=torch.channels_last)
    plain = nn.Sequential(nn.Conv2d(4, 6, 3))
    initialize(image, "he")
    initialize(plain, "he")
    assert torch.equal(image[0].weight, plain[0].weight)


def test_tied_weights_are_filled_once():
    net = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    net[2].weight = net[0].weight
    scheme = "pair('he', 'normal(0.1)')"
    plan = initialize(net, scheme)
    assert net[2].weight is net[0].weight
    for index, position in ((0, 0), (1, 2)):
        weight, bias = expected(plan.layers[index].spec, scheme)
        assert np.array_equal(net[position].weight.detach(), weight) == (position == 0)
        np.testing.assert_array_equal(net[position].bias.detach(), bias)

    model = nn.ModuleDict({"embedding": nn.Embedding(9, 4), "decoder": nn.Linear(4, 9)})
    model["embedding"].weight = model["decoder"].weight
    (left,) = initialize(model, "he").left_alone
    assert (left.path, left.reason) == ("embedding", "shares its weight with decoder")
    assert model["embedding"].weight is model["decoder"].weight

    twice = nn.Linear(4, 4)
    assert len(initialize(nn.Sequential(twice, nn.Tanh(), twice), "he").layers) == 1


@pytest.mark.parametrize("make", [lambda: nn.Linear(6, 5), lambda: nn.Conv2d(4, 6, 3, groups=2)])
def test_weight_norm(make):
    net, plain = nn.Sequential(make()), nn.Sequential(make())
    torch.nn.utils.parametrizations.weight_norm(net[0])
    originals = [net[0].parametrizations.weight.original0, net[0].parametrizations.weight.original1]
    originals[0].requires_grad_(False)
    plan = initialize(net, "he", seed=4)
    initialize(plain, "he", seed=4)
    assert plan.left_alone == ()
    assert [layer.spec.path for layer in plan.layers] == ["0"]
    torch.testing.assert_close(net[0].weight, plain[0].weight, rtol=1e-6, atol=1e-7)
    assert net[0].parametrizations.weight.original0 is originals[0]
    assert [p.requires_grad for p in originals] == [False, True]


def test_spectral_norm_keeps_its_estimate_when_looked_at():
    net = nn.Sequential(torch.nn.utils.parametrizations.spectral_norm(nn.Linear(6, 5)))
    before = state(net)
    with pytest.raises(ShapeError):
        initialize(net, init.Fixed(np.zeros((2, 2))))
    assert unchanged(net, before)
    plan = initialize(net, "he")
    np.testing.assert_array_equal(
        net[0].parametrizations.weight.original.detach(), expected(plan.layers[0].spec, "he")[0]
    )
    assert net[0].parametrizations.weight.training


def test_what_cannot_be_set_is_refused():
    from torch.nn.utils import prune

    class Doubled(nn.Module):
        def forward(self, x):
            return 2 * x

    one_way = nn.Linear(3, 3)
    torch.nn.utils.parametrize.register_parametrization(one_way, "weight", Doubled())
    pruned = prune.l1_unstructured(nn.Linear(3, 3), "weight", 2)
    for layer, match in [(one_way, "right_inverse"), (pruned, "hook")]:
        net = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), layer)
        before = state(net)
        with pytest.raises(OptionError, match=match):
            initialize(net, "he")
        assert unchanged(net, before)
    with pytest.raises(OptionError, match="pass a batch"):
        initialize(nn.Sequential(nn.LazyLinear(3)), "he")
    with pytest.raises(OptionError, match="meta device"):
        initialize(nn.Sequential(nn.Linear(3, 3, device="meta")), "he")
    with pytest.raises(DtypeError, match="complex64"):
        initialize(nn.Sequential(nn.Linear(3, 3, dtype=torch.complex64)), "he")


def test_devices():
    """The processor, and an accelerator where there is one."""
    here = mlp(5, 4, 3)
    initialize(here, "he")
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        there = mlp(5, 4, 3).to(device)
        initialize(there, "he")
        for a, b in zip(here.parameters(), there.parameters(), strict=True):
            assert b.device.type == device
            assert torch.equal(a, b.cpu())


# --- all or nothing -------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class FailsAtLast(init.Initializer):
    def init_layer(self, spec, seed, weight, bias=None):
        if spec.role == "output":
            raise OptionError("not this one.")
        weight[...] = 1.0
        if bias is not None:
            bias[...] = 1.0


def test_a_refusal_changes_nothing():
    net = mlp(5, 4, 3)
    before = state(net)
    with pytest.raises(OptionError, match="not this one"):
        initialize(net, FailsAtLast())
    with pytest.raises(ShapeError):
        initialize(net, np.zeros((5, 4)))  # fits the first layer only
    assert unchanged(net, before)


def test_a_failure_while_writing_changes_nothing():
    class Stubborn(nn.Module):
        def forward(self, x):
            return x

        def right_inverse(self, x):
            raise KeyboardInterrupt

    net = mlp(5, 4, 3)
    torch.nn.utils.parametrizations.weight_norm(net[0])
    last = net[2]
    stubborn = Stubborn()
    stubborn.right_inverse = lambda x: x  # at registration
    torch.nn.utils.parametrize.register_parametrization(last, "weight", stubborn)
    del stubborn.right_inverse
    before = state(net)
    with pytest.raises(KeyboardInterrupt):
        initialize(net, "he")
    assert unchanged(net, before)


def test_values_too_large_for_half():
    net = mlp(3, 3, 3, dtype=torch.float16)
    before = state(net)
    with pytest.raises(OptionError, match=r"too large for torch\.float16"):
        initialize(net, init.Constant(1e5))
    assert unchanged(net, before)


def test_bad_arguments():
    net = mlp(3, 3, 3)
    before = state(net)
    for options, match in [
        ({"init": "hee"}, "Did you mean"),
        ({"seed": None}, "seed"),
        ({"activation": "rela"}, "Did you mean 'relu'"),
        ({"activation": {"0": "rela"}}, "Did you mean 'relu'"),
        ({"activation": {"5": "relu"}}, "There are: 0, 2"),
        ({"activation": 3}, "activation"),
    ]:
        with pytest.raises(OptionError, match=match):
            initialize(net, **options)
    assert unchanged(net, before)
    with pytest.raises(OptionError, match=r"torch\.nn\.Module"):
        initialize(net[0].weight)
    with pytest.raises(OptionError, match="no layer to fill"):
        initialize(nn.LayerNorm(3))
    with pytest.raises(OptionError, match="Did you mean 'Conv2d'"):
        layout("conv2d")


def test_schemes_that_need_data_are_refused():
    class FromData(init.Initializer):
        needs_data = True

    with pytest.raises(OptionError, match="needs data"):
        initialize(mlp(3, 3), FromData())


def test_without_pytorch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"minidl\.interop\.torch needs PyTorch: pip install torch\."):
        initialize(object(), "he")


def test_importing_the_bridge_does_not_import_pytorch(tmp_path):
    code = "import sys, minidl.interop.torch as t; t.layout('Conv2d'); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
