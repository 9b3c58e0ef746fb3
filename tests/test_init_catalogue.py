"""The contract of every registered initializer, generated from what its class says of itself.

A class is found in the registry, its instances in ``examples``; nothing here names a scheme but where a
sentence is about one. A scheme may refuse a layer, by OptionError or ShapeError and before anything is
changed; what it does not refuse it must fill as all others do.
"""

import copy
import functools
import inspect
import json
import math
import pickle
import re
import warnings
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from helpers import FUSED_LEVELS, needs_fused

import minidl
from minidl import activations, init, kernels
from minidl.errors import InitWarning, MinidlError, OptionError, ShapeError
from minidl.init import catalogue, registry
from minidl.init.variance_scaling import FANS


def library_classes():
    """Return the registered classes of the library; other tests may have registered their own."""
    found = {}
    for kind in registry._classes.values():
        if kind.__module__.startswith("minidl.init."):
            found[kind] = None
    return sorted(found, key=lambda kind: kind.__name__)


def examples(kind):
    return [eval(text, dict(vars(init))) for text in kind.examples]


CLASSES = library_classes()
EXAMPLES = [x for kind in CLASSES for x in examples(kind)]
NAMES = init.names()

each_class = pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
each_example = pytest.mark.parametrize("x", EXAMPLES, ids=repr)


# --- what belongs to the catalogue ----------------------------------------------------------------


def test_every_class_is_registered_and_exported():
    """What the library exports is in the registry, but for base classes and what no text can name."""
    not_schemes = {"Initializer", "Law", "Rule", "ResidualRule", "DataInitializer", "FromFunction"}
    exported = {
        name
        for name in init.__all__
        if isinstance(getattr(init, name), type) and issubclass(getattr(init, name), init.Initializer)
    }
    registered = {kind.__name__ for kind in CLASSES}
    assert exported - not_schemes == registered & exported
    assert registered <= exported, "registered, but not in minidl.init.__all__"
    for name in exported & not_schemes - {"FromFunction"}:
        assert issubclass(getattr(init, name), init.Initializer)


@each_class
def test_examples_are_instances_of_the_class(kind):
    found = examples(kind)
    assert found, f"{kind.__name__} shows no examples"
    assert all(type(x) is kind for x in found)
    assert len(set(found)) == len(found)


@each_class
def test_examples_use_every_argument(kind):
    """Each argument of the constructor has, in some example, another value than its default."""
    shown = [x.arguments() for x in examples(kind)]
    try:
        defaults = kind().arguments()
    except (TypeError, OptionError):  # it has arguments without a default
        defaults = {}
    for name, parameter in inspect.signature(kind).parameters.items():
        values = [arguments[name] for arguments in shown]
        if parameter.kind is parameter.VAR_POSITIONAL:
            assert any(values), name
        elif parameter.default is not parameter.empty:
            default = defaults.get(name, parameter.default)
            if isinstance(default, str) and any(isinstance(value, init.Initializer) for value in values):
                default = init.get(default)
            assert any(type(value) is not type(default) or value != default for value in values), name


def test_every_name_stands_for_a_class_of_the_catalogue():
    assert sorted(NAMES) == NAMES
    for name in NAMES:
        factory = registry.factory(name)
        kind = factory.func if isinstance(factory, functools.partial) else factory
        if not (isinstance(kind, type) and kind in CLASSES):
            continue  # a function of a user, from another test
        try:
            assert type(init.get(name)) is kind
        except OptionError as error:  # it needs an argument: the message says so
            required = [
                parameter.name
                for parameter in inspect.signature(kind).parameters.values()
                if parameter.default is parameter.empty
            ]
            assert required, name
            assert any(argument in str(error) for argument in required), name  # noqa: PT017
    for kind in CLASSES:
        assert any(registry.factory(name) is kind for name in NAMES), f"{kind.__name__} has no name"


# --- what a scheme says of itself -----------------------------------------------------------------


@each_example
def test_says_what_it_is(x):
    for fact in ("formula", "assumes", "fails", "paper", "distribution"):
        text = getattr(x, fact)
        assert isinstance(text, str), fact
        assert len(text) > 3, f"{type(x).__name__}.{fact} is empty"
        assert "\n" not in text
    assert x.mode in (*FANS, "none")
    assert x.distribution != "none"
    assert re.search(r"\b(19|20)\d\d\b", x.paper) or x.paper.startswith("none ("), (
        "a source has a year; 'none (...)' says why there is none"
    )
    assert catalogue.family(type(x)) in catalogue.FAMILIES, "add its module to catalogue.FAMILIES"
    assert isinstance(x.needs_data, bool)


@each_example
def test_describe(x):
    text = x.describe(300, 200)
    assert text.splitlines()[0].startswith(type(x).__name__)
    flat = " ".join(text.split())
    for fact in ("formula", "assumes", "fails", "paper"):
        assert " ".join(getattr(x, fact).split()) in flat, fact
    assert all(len(line) <= 110 for line in text.splitlines()[1:])
    if has_law(x):
        assert f"(fan_in=300, fan_out=200): {x.law(300, 200)!r}" in flat
    try:
        assert f"variance {x.variance(300, 200):.6g}" in flat
    except MinidlError:
        assert "fan_in=300" not in flat


def test_describe_without_a_shape():
    assert init.He().describe(300, 200).startswith(init.He().describe())
    assert "fan_in=" not in init.He().describe()


@each_example
def test_suits_gives_a_reason(x):
    for name in activations.names():
        deep = ((20, 1e6),) if name in ("relu", "tanh") else ()  # depth, and the factor that is too much
        for more in ((), *deep):
            try:
                ok, reason = x.suits(name, *more)
            except OptionError:
                continue
            assert ok in (True, False)
            assert len(reason) > 10
    with pytest.raises(OptionError):
        x.suits("no such activation")


# --- it is a value --------------------------------------------------------------------------------


@each_example
def test_is_a_value(x):
    for same in (
        eval(repr(x), dict(vars(init))),
        pickle.loads(pickle.dumps(x)),
        copy.copy(x),
        copy.deepcopy(x),
        init.from_dict(x.to_dict()),
        init.from_dict(json.loads(json.dumps(x.to_dict(), allow_nan=False))),
    ):
        assert same == x
        assert (same != x) is False
        assert hash(same) == hash(x)
        assert repr(same) == repr(x)
        assert type(same) is type(x)
    assert [other for other in EXAMPLES if other == x] == [x]
    assert init.get(x) is x
    assert x != repr(x)
    assert x.arguments().keys() == inspect.signature(type(x)).parameters.keys()
    for name in (*x.arguments(), "formula", "anything"):
        with pytest.raises((FrozenInstanceError, AttributeError)):
            setattr(x, name, 3)


@each_example
def test_refuses_nonsense(x):
    """Whatever an argument is, it is checked when the object is made."""
    parameters = inspect.signature(type(x)).parameters
    kinds = {parameter.kind for parameter in parameters.values()}
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        pytest.skip("has its arguments as a list")
    for name, nonsense in [
        (name, bad) for name in parameters for bad in ("no such thing", math.nan, object())
    ]:
        with pytest.raises(MinidlError):
            type(x)(**{**x.arguments(), name: nonsense})


# --- it fills -------------------------------------------------------------------------------------

SHAPES = [(1, 1), (1, 9), (9, 1), (2, 2), (2, 3), (3, 2), (4, 4), (4, 8), (8, 4), (70, 33), (33, 70)]
EMPTY = [(0, 0), (0, 6), (6, 0)]
# name of the layout, how (fan_in, n_outputs) becomes a shape
KERNELS = [
    ("oil", (6, 4, 3), 1, False),
    ("oihw", (6, 4, 3, 3), 1, False),
    ("hwio", (3, 3, 4, 6), 1, False),
    ("oidhw", (4, 4, 2, 3, 1), 1, False),
    ("oihw", (6, 2, 3, 3), 3, False),
    ("iohw", (4, 6, 3, 3), 1, True),
    ("iol", (4, 3, 3), 2, True),
    ("oihw", (0, 4, 3, 3), 1, False),
    ("oihw", (6, 0, 3, 3), 1, False),
]
MIDDLE = {"index": 1, "depth": 3}
FIRST = {"role": "input", "index": 0, "depth": 3}
LAST = {"role": "output", "index": 2, "depth": 3}
BRANCH = {"residual_branches": 3, "branch_layers": 2}
PLACES = [
    *({"activation": name, "input_activation": name, **MIDDLE} for name in ("relu", "tanh", "sine(30.0)")),
    *({"activation": name, "input_activation": name, **MIDDLE} for name in ("selu", "sigmoid", "identity")),
    {"activation": "relu", **FIRST},
    {"activation": "identity", "input_activation": "relu", **LAST},
    {"activation": "relu", "input_activation": "relu", "branch_pos": 0, **BRANCH, **MIDDLE},
    {"activation": "relu", "input_activation": "relu", "branch_pos": 1, **BRANCH, **MIDDLE},
]
SEED = 5


def fill(x, spec, dtype="float64", seed=SEED):
    """Fill a layer; a refusal must leave it alone."""
    weight, bias = np.full(spec.shape, 7.0, dtype), np.full(spec.n_outputs, 7.0, dtype)
    try:
        x.init_layer(spec, seed, weight, bias)
    except (OptionError, ShapeError):
        assert np.all(weight == 7.0), "refused, but changed"
        assert np.all(bias == 7.0), "refused, but changed"
        raise
    return weight, bias


def serves(x, spec):
    try:
        fill(x, spec)
    except (OptionError, ShapeError):
        return False
    return True


def serves_all(x):
    """Say whether a scheme has no reason to refuse a shape: its elements have a law, and it has no size."""
    if not has_law(x) or x.blockwise:
        return False
    return all(serves(x, init.LayerSpec("1", shape, **PLACES[0])) for shape in ((70, 33), (33, 70)))


@functools.cache
def layers(x):
    """Return the dense layers that a scheme fills: at most two places for each shape."""
    found = []
    for shape in (*SHAPES, *EMPTY):
        specs = (init.LayerSpec("1", shape, **place) for place in PLACES)
        found += [spec for spec in specs if serves(x, spec)][:2]
    return found


def has_law(x):
    """Say whether the elements have one law for every shape: such a scheme has no reason to refuse one."""
    try:
        return isinstance(x.law(70, 33), init.Law)
    except MinidlError:
        return False


@each_example
def test_serves_layers(x):
    served = {spec.shape for spec in layers(x)}
    if x.needs_data:  # a layer is not enough for it, whatever the shape
        assert not served
        return
    assert any(0 not in shape for shape in served), "no layer at all"
    if serves_all(x):
        assert served >= {*SHAPES, (6, 0)}
        if not x.bias_variance(4, 4) > 0.0:  # else a layer without inputs may have no bias either
            assert served >= set(EMPTY)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@each_example
def test_fills_layers(x, dtype):
    for spec in layers(x):
        weight, bias = fill(x, spec, dtype)
        double_weight, double_bias = fill(x, spec, "float64")
        assert np.all(np.isfinite(weight))
        assert np.all(np.isfinite(bias))
        # the values are those of float64, rounded once
        np.testing.assert_array_equal(weight, double_weight.astype(dtype))
        np.testing.assert_array_equal(bias, double_bias.astype(dtype))
        again, again_bias = fill(x, spec, dtype)
        np.testing.assert_array_equal(weight, again)
        np.testing.assert_array_equal(bias, again_bias)
        if weight.size:
            chosen = x.resolve(spec)[0]
            try:
                bound = chosen.bound(spec.fan_in, spec.fan_out)
            except MinidlError:
                continue
            assert np.abs(weight).max() <= np.dtype(dtype).type(bound)
            if not has_bias(x, spec):
                assert np.all(bias == 0.0)


def has_bias(x, spec):
    """Say whether a scheme has a rule for the bias; class or variance tell it."""
    chosen = x.resolve(spec)[0]
    own = type(chosen).init_layer is not init.Initializer.init_layer
    return own or chosen.bias_variance(max(spec.fan_in, 1), max(spec.fan_out, 1)) > 0.0


@each_example
def test_without_a_bias(x):
    for spec in layers(x):
        weight = np.full(spec.shape, 7.0)
        try:
            x.init_layer(spec, SEED, weight)
        except OptionError as error:  # a rule that puts something into the bias may need one
            assert "bias" in str(error)  # noqa: PT017
            assert np.all(weight == 7.0)
            continue
        np.testing.assert_array_equal(weight, fill(x, spec)[0])


@each_example
def test_writes_through_views(x):
    """Rows may have a distance, or be columns; memory between them stays as it was."""
    for spec in layers(x):
        expected, expected_bias = fill(x, spec, "float32")
        fan_in, fan_out = spec.shape
        room = np.full((fan_in + 1, fan_out + 5), 7.0, np.float32)
        bias_room = np.full(2 * fan_out, 7.0, np.float32)
        x.init_layer(spec, SEED, room[:fan_in, 2 : fan_out + 2], bias_room[::2])
        np.testing.assert_array_equal(room[:fan_in, 2 : fan_out + 2], expected)
        np.testing.assert_array_equal(bias_room[::2], expected_bias)
        room[:fan_in, 2 : fan_out + 2] = 7.0
        assert np.all(room == 7.0)
        assert np.all(bias_room[1::2] == 7.0)
        turned = np.full((fan_out, fan_in), 7.0, np.float32)
        x.init_layer(spec, SEED, turned.T, np.empty(fan_out, np.float32))
        np.testing.assert_array_equal(turned.T, expected)


@each_example
def test_init_gives_the_weight_of_the_layer(x):
    """``init(shape, Stream(seed, path, "weight"))`` needs no network; a scheme that needs one refuses."""
    for spec in layers(x):
        stream = init.Stream(SEED, spec.path, "weight")
        try:
            alone = x.init(spec.shape, stream, "float64")
        except (OptionError, ShapeError):
            assert not has_law(x)
            out = np.full(spec.shape, 7.0)
            with pytest.raises((OptionError, ShapeError)):
                x.init(spec.shape, stream, out=out)
            assert np.all(out == 7.0)
            continue
        assert alone.flags.c_contiguous
        assert (alone.shape, alone.dtype) == (spec.shape, np.float64)
        out = np.full((spec.shape[0], spec.shape[1] + 3), 7.0, np.float32)
        view = out[:, :-3]
        assert x.init(spec.shape, stream, out=view) is view
        np.testing.assert_array_equal(view, alone.astype(np.float32))
        assert np.all(out[:, -3:] == 7.0)
        if has_law(x):
            np.testing.assert_array_equal(alone, fill(x, spec)[0])


@each_example
def test_layout_does_not_matter(x):
    """A connection has the same weight however the matrix is stored."""
    for spec in layers(x):
        changes = [("out_in", spec.shape[::-1], lambda w: w.T)]
        # a scheme may refuse convolutions; these have a window of one tap
        changes += [("io", spec.shape, lambda w: w), ("oi", spec.shape[::-1], lambda w: w.T)]
        changes += [("hwio", (1, 1, *spec.shape), lambda w: w[0, 0])]
        expected, expected_bias = fill(x, spec)
        for layout, shape, as_in_out in changes:
            other = init.LayerSpec(**{**vars_of(spec), "shape": shape, "layout": layout})
            if layout != "out_in" and not serves(x, other):
                assert not serves_all(x)
                continue
            weight, bias = fill(x, other)
            np.testing.assert_array_equal(as_in_out(weight), expected, err_msg=layout)
            np.testing.assert_array_equal(bias, expected_bias, err_msg=layout)


def vars_of(spec):
    return {name: getattr(spec, name) for name in inspect.signature(init.LayerSpec).parameters}


@each_example
def test_fills_kernels(x):
    for layout, shape, groups, transposed in KERNELS:
        fill_kernel(x, layout, shape, groups, transposed)


def fill_kernel(x, layout, shape, groups, transposed):
    axes = {"layout": layout, "shape": shape, "groups": groups, "transposed": transposed}
    for place in PLACES[:2]:
        spec = init.LayerSpec("1", **axes, **place)
        if not serves(x, spec):
            continue
        weight, bias = fill(x, spec, "float32")
        assert np.all(np.isfinite(weight))
        double, double_bias = fill(x, spec)
        np.testing.assert_array_equal(weight, double.astype(np.float32))
        np.testing.assert_array_equal(bias, double_bias.astype(np.float32))
        # the same connections, in the plain order of the axes
        plain = "oi" + "".join(sorted(set(layout) - set("oi"), key="dhwl".index))
        other = init.LayerSpec("1", spec.kernel_shape, layout=plain, groups=groups, **place)
        kernel = fill(x, other)[0]
        again = np.empty(shape)
        spec.axes.store(kernel, again)
        np.testing.assert_array_equal(again, double)
    spec = init.LayerSpec("1", **axes, **PLACES[0])
    if serves_all(x) and (spec.fan_in or not x.bias_variance(4, 4) > 0.0):
        assert serves(x, spec)


@each_example
def test_no_atoms_at_the_bound(x):
    """No more elements lie on the bound than the law puts there: none, if it is continuous."""
    if not has_law(x) or not x.variance(40, 500) > 0.0:
        pytest.skip("no law with a spread")
    weight = x.init((40, 500), 1, "float64")
    bound = x.bound(40, 500)
    law = x.cdf(40, 500)
    below = [np.nextafter(edge, -np.inf) for edge in (-bound, bound)]
    atoms = float(law(-bound) - law(below[0])) + 1.0 - float(law(below[1])) if bound < math.inf else 0.0
    atoms = atoms if atoms > 1e-9 else 0.0
    found = np.count_nonzero(np.abs(weight) == bound)
    assert abs(found - atoms * weight.size) <= 5 * math.sqrt(atoms * weight.size)
    if atoms == 0.0:  # neither are there atoms elsewhere, in float32 where numbers are coarser
        distinct = len(np.unique(x.init((40, 500), 1, "float32")))
        jumps = float(np.max(np.diff(law(np.linspace(*np.quantile(weight, [0, 1]), 200_001)))))
        assert distinct > 0.99 * weight.size or jumps > 1e-3


# --- nothing but seed and path decides ------------------------------------------------------------


@each_example
def test_depends_on_seed_and_path_alone(x):
    """Neither the order of the calls, nor other layers, nor the object that is asked matter."""
    for spec in layers(x):
        here = vars_of(spec)
        alone = fill(x, spec)
        twin = pickle.loads(pickle.dumps(x))
        for path in ("new", "0.body"):
            serves(twin, init.LayerSpec(**{**here, "path": path}))
        again = fill(twin, spec)
        np.testing.assert_array_equal(alone[0], again[0])
        np.testing.assert_array_equal(alone[1], again[1])
        given = fill(x, spec, seed=init.Stream(SEED))
        np.testing.assert_array_equal(alone[0], given[0])


@each_example
def test_paths_and_seeds_have_their_own_numbers(x):
    """Random schemes: no two layers alike. Others: all alike."""
    for spec in layers(x):
        if min(spec.shape) < 4:
            continue
        other_path = init.LayerSpec(**{**vars_of(spec), "path": "2"})
        if not serves(x, other_path):
            continue
        draws = [fill(x, spec)[0], fill(x, other_path)[0], fill(x, spec, seed=SEED + 1)[0]]
        equal = [np.array_equal(a, b) for a, b in ((0, 1), (0, 2), (1, 2)) for a, b in [(draws[a], draws[b])]]
        assert len(set(equal)) == 1, "depends on one of seed and path"
        if has_law(x):
            assert equal[0] == (x.variance(*spec.shape) == 0.0)


@needs_fused
@each_example
def test_same_bits_for_all_threads_and_levels(x):
    """1 and 4 threads, every level with FMA that this machine has."""
    for spec in layers(x):
        seen = set()
        for level in FUSED_LEVELS:
            for threads in (1, 4):
                kernels.set_num_threads(threads)
                with kernels.use_isa(level):
                    seen.add(b"".join(array.tobytes() for array in fill(x, spec)))
        kernels.set_num_threads(None)
        assert len(seen) == 1


@each_example
def test_a_new_layer_changes_no_other(x):
    """In a network: the layers below a new one keep their weights, if their description is the same."""
    if not has_law(x):
        pytest.skip("chooses by the place of a layer")

    def net(*widths):
        body = [minidl.Dense(width, "relu") for width in widths]
        return minidl.Sequential([*body, minidl.Dense(3)], n_inputs=5, init=x, seed=SEED)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InitWarning)  # it may be made for another activation than relu
        try:
            small, large = net(6, 4), net(6, 4, 7)
        except OptionError:
            pytest.skip("serves no network of relu")
    for name in ("0.weight", "0.bias", "1.weight", "1.bias"):
        np.testing.assert_array_equal(small.params[name], large.params[name])
    weight = x.init((5, 6), init.Stream(SEED, "0", "weight"))
    np.testing.assert_array_equal(small.params["0.weight"], weight)


# --- what a scheme cannot do ----------------------------------------------------------------------


@each_example
def test_vectors_need_fans(x):
    with pytest.raises(ShapeError, match="fan="):
        x.init((5,), 0)
    for shape, fan in [((5, 1), (3, 2)), ((5,), 3), ((5,), (3, 2, 1))]:
        with pytest.raises(ShapeError, match="fan"):
            x.init(shape, 0, fan=fan)
    with pytest.raises(OptionError, match="fan_in"):
        x.init((5,), 0, fan=(-1, 2))
    if has_law(x) and not x.blockwise and x.distribution != "haar":
        vector = x.init((2000,), 0, "float64", fan=(50, 20))
        law = x.law(50, 20)
        spread = law.std()
        assert vector.shape == (2000,)
        assert abs(vector.mean() - law.center()) <= 5 * spread / math.sqrt(2000) + 1e-15
        assert vector.std() == pytest.approx(spread, rel=0.15)
        assert x.init((0,), 0, fan=(50, 20)).shape == (0,)


@each_example
def test_zero_fans_give_empty_weights_and_no_numbers(x):
    """Nothing to fill is no mistake, but there is no variance, not an infinite or NaN one."""
    for shape in EMPTY:
        if shape in {spec.shape for spec in layers(x)}:
            weight, bias = fill(x, init.LayerSpec("1", shape, **PLACES[0])) if has_law(x) else (None, None)
            assert weight is None or (weight.shape == shape and np.all(np.isfinite(bias)))
        try:
            variance = x.variance(*shape)
        except MinidlError:
            continue
        assert math.isfinite(variance)


@each_example
def test_bad_arrays_change_nothing(x):
    served = (spec for spec in layers(x) if np.prod(spec.shape))
    spec = next(served, init.LayerSpec("1", (4, 4), **PLACES[0]))
    good_weight, good_bias = np.full(spec.shape, 7.0), np.full(spec.n_outputs, 7.0)
    locked = good_weight.copy()
    locked.flags.writeable = False
    for weight, bias in [
        (np.zeros((*spec.shape, 1)), good_bias),
        (np.zeros(spec.shape, int), good_bias),
        (np.zeros(spec.shape, np.float16), good_bias),
        (good_weight.tolist(), good_bias),
        (locked, good_bias),
        (good_weight, np.zeros(spec.n_outputs + 1)),
        (good_weight, np.zeros(spec.n_outputs, int)),
        (good_weight, [0.0] * spec.n_outputs),
    ]:
        with pytest.raises(MinidlError):
            x.init_layer(spec, 0, weight, bias)
    with pytest.raises(OptionError, match=r"seed|rng|needs data"):
        x.init_layer(spec, "0", good_weight, good_bias)
    assert np.all(good_weight == 7.0)
    assert np.all(good_bias == 7.0)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"layout": "ox"}, "layout"),
        ({"layout": "oihw"}, "shape"),
        ({"groups": 4}, "groups"),
        ({"dtype": "float16"}, "dtype"),
        ({"out": np.zeros((3, 5))}, "out"),
    ],
)
@each_example
def test_bad_options_of_init(x, options, match):
    with pytest.raises(MinidlError, match=match):
        x.init((5, 3), 0, **options)
