"""Fans of weights in the layouts of several libraries, counted by hand; where a layout puts a kernel."""

import itertools

import numpy as np
import pytest

from minidl import init
from minidl.errors import OptionError, ShapeError
from minidl.init import Layout, fans

# layer, shape, layout, groups, transposed, fan_in, fan_out: how many inputs feed one output (away from
# borders, with stride 1), and how many outputs one input feeds.
TABLE = [
    ("minidl, Keras Dense 784 -> 256", (784, 256), "in_out", 1, False, 784, 256),
    ("torch Linear 784 -> 256", (256, 784), "out_in", 1, False, 784, 256),
    ("a single connection", (1, 1), "in_out", 1, False, 1, 1),
    ("no inputs", (0, 5), "in_out", 1, False, 0, 5),
    ("no outputs", (0, 5), "out_in", 1, False, 5, 0),
    ("dense in 4 groups, 12 -> 8", (3, 8), "in_out", 4, False, 3, 2),
    ("dense in 4 groups, 12 -> 8", (8, 3), "out_in", 4, False, 3, 2),
    ("torch Conv1d 3 -> 16, 5 taps", (16, 3, 5), "oil", 1, False, 15, 80),
    ("Keras Conv1D 3 -> 16, 5 taps", (5, 3, 16), "lio", 1, False, 15, 80),
    ("torch Conv2d 32 -> 64, 3x3", (64, 32, 3, 3), "oihw", 1, False, 288, 576),
    ("Keras Conv2D 32 -> 64, 3x3", (3, 3, 32, 64), "hwio", 1, False, 288, 576),
    ("torch Conv2d 32 -> 64, 1x1", (64, 32, 1, 1), "oihw", 1, False, 32, 64),
    ("torch Conv2d 2 -> 5, 3x7", (5, 2, 3, 7), "oihw", 1, False, 42, 105),
    ("torch Conv3d 2 -> 5, 2x3x4", (5, 2, 2, 3, 4), "oidhw", 1, False, 48, 120),
    ("Conv3d 2 -> 5 without outputs", (0, 2, 2, 3, 4), "oidhw", 1, False, 48, 0),
    ("torch Conv2d 32 -> 64, 3x3, 4 groups", (64, 8, 3, 3), "oihw", 4, False, 72, 144),
    ("torch depthwise Conv2d 64, 3x3", (64, 1, 3, 3), "oihw", 64, False, 9, 9),
    ("torch depthwise 64 -> 128, 3x3", (128, 1, 3, 3), "oihw", 64, False, 9, 18),
    ("JAX grouped 32 -> 64, 3x3, 4 groups", (3, 3, 8, 64), "hwio", 4, False, 72, 144),
    ("torch ConvTranspose2d 32 -> 64, 3x3", (32, 64, 3, 3), "iohw", 1, True, 288, 576),
    ("torch ConvTranspose1d 6 -> 4, 5 taps", (6, 4, 5), "iol", 1, True, 30, 20),
    ("torch ConvTranspose2d 32 -> 64, 4 groups", (32, 16, 3, 3), "iohw", 4, True, 72, 144),
    ("Keras Conv2DTranspose 32 -> 64, 3x3", (3, 3, 64, 32), "hwoi", 1, True, 288, 576),
    ("Keras depthwise 64 x 2, 3x3", (3, 3, 64, 2), "hwio", 64, True, 9, 18),
    ("torch Bilinear 4 x 6 -> 5", (5, 4, 6), "oix", 1, False, 24, 30),
]


@pytest.mark.parametrize(("layer", "shape", "layout", "groups", "transposed", "fan_in", "fan_out"), TABLE)
def test_fans_by_hand(layer, shape, layout, groups, transposed, fan_in, fan_out):
    assert fans(shape, layout, groups=groups, transposed=transposed) == (fan_in, fan_out)
    spec = init.LayerSpec("0", shape, layout=layout, groups=groups, transposed=transposed)
    assert (spec.fan_in, spec.fan_out) == (fan_in, fan_out)
    if groups * np.prod(shape):  # the schemes see these fans: nothing else scales their draws
        x = init.VarianceScaling(1.0, "fan_out", "uniform")
        options = {"layout": layout, "groups": groups, "transposed": transposed}
        bound = np.abs(x.init(shape, 0, "float64", **options)).max()
        assert bound <= (3 / fan_out) ** 0.5
        assert np.prod(shape) < 100 or bound > 0.9 * (3 / fan_out) ** 0.5


def test_the_layers_of_pytorch():
    """The shapes in the table are those of its layers, and the counts those of what its layers do."""
    torch = pytest.importorskip("torch")
    nn = torch.nn
    for layer, layout, groups, transposed in [
        (nn.Linear(6, 4), "out_in", 1, False),
        (nn.Conv1d(3, 5, 3), "oil", 1, False),
        (nn.Conv2d(4, 6, (2, 3)), "oihw", 1, False),
        (nn.Conv2d(4, 6, (2, 3), groups=2), "oihw", 2, False),
        (nn.Conv2d(4, 8, 3, groups=4), "oihw", 4, False),
        (nn.Conv3d(2, 3, 2), "oidhw", 1, False),
        (nn.ConvTranspose1d(3, 5, 3), "iol", 1, True),
        (nn.ConvTranspose2d(4, 6, (2, 3)), "iohw", 1, True),
        (nn.ConvTranspose2d(4, 6, (2, 3), groups=2), "iohw", 2, True),
    ]:
        window = len(layout.strip("io")) if layout != "out_in" else 0
        n_in = getattr(layer, "in_channels", None) or layer.in_features
        x = torch.zeros(1, n_in, *[9] * window, requires_grad=True)
        with torch.no_grad():
            layer.weight.fill_(1.0)
            layer.bias.zero_()
        y = layer(x)
        centre = (0, 0, *(n // 2 for n in y.shape[2:]))
        (used,) = torch.autograd.grad(y[centre], x)  # the inputs that one output sees
        x = torch.zeros_like(x)
        x[(0, 0, *(n // 2 for n in x.shape[2:]))] = 1.0
        fed = layer(x)  # the outputs that one input feeds
        counted = int((used != 0).sum()), int((fed != 0).sum())
        assert fans(tuple(layer.weight.shape), layout, groups=groups, transposed=transposed) == counted


def test_fans_of_pytorch():
    """torch.nn.init guesses from the shape alone: right for plain layers, wrong for the others."""
    torch = pytest.importorskip("torch")
    from torch.nn.init import _calculate_fan_in_and_fan_out as guess

    compared = 0
    for layer, shape, _, groups, transposed, fan_in, fan_out in TABLE:
        if not layer.startswith("torch"):
            continue
        theirs = guess(torch.empty(shape))
        if transposed:  # it takes axis 1 for the inputs; then groups multiply the other fan
            assert theirs == (fan_out, fan_in * groups)
        elif groups > 1:  # it takes the outputs of all groups for those that one input feeds
            assert theirs == (fan_in, fan_out * groups)
        else:
            assert theirs == (fan_in, fan_out)
            compared += 1
    assert compared >= 6


def test_the_order_of_the_axes_does_not_matter():
    for layout, groups in itertools.product(("hwio", "oihw", "ohwi", "iohw", "wiho"), (1, 2)):
        size = {"h": 2, "w": 3, "i": 4, "o": 6}
        shape = tuple(size[axis] for axis in layout)
        assert fans(shape, layout, groups=groups) == (24, 6 // groups * 6)


# --- the kernel and back --------------------------------------------------------------------------

SIZES = {"d": 2, "h": 3, "w": 4, "l": 5, "x": 2, "y": 3, "z": 1}


def layouts():
    yield from (("in_out", 1, False), ("out_in", 1, False), ("in_out", 3, False), ("out_in", 3, True))
    for window in ("", "l", "hw", "wh", "dhw", "xyz"):
        for axes in {"io" + window, "oi" + window, window + "oi", "".join(reversed("io" + window))}:
            yield from ((axes, groups, transposed) for groups in (1, 3) for transposed in (False, True))


def connections(shape, layout, groups, transposed):
    """Return by (output, input of its group, offsets of the window by letter) where its weight stands.

    Written from the definition of groups: output o of all is output o % per_group of group o // per_group.
    """
    axes = {"in_out": "io", "out_in": "oi"}.get(layout, layout)
    found = {}
    for index in np.ndindex(shape):
        at = dict(zip(axes, index, strict=True))
        size = dict(zip(axes, shape, strict=True))
        i, o = at.pop("i"), at.pop("o")
        if transposed:  # i counts all inputs, o the outputs of the group that the input belongs to
            per_group = size["i"] // groups
            i, o = i % per_group, (i // per_group) * size["o"] + o
        found[o, i, tuple(sorted(at.items()))] = index
    return found


@pytest.mark.parametrize(("layout", "groups", "transposed"), sorted(layouts()))
def test_store_puts_each_connection_in_its_place(layout, groups, transposed):
    axes = {"in_out": "io", "out_in": "oi"}.get(layout, layout)
    shape = tuple({**SIZES, "i": 6, "o": 3}[axis] for axis in axes)
    here = Layout(layout, groups, transposed)
    kernel_shape = here.kernel_shape(here.check(shape))
    n_in, n_out = (6 // groups, 3 * groups) if transposed else (6, 3)
    window = sorted(set(axes) - set("io"), key="dhwlxyz".index)
    assert kernel_shape == (n_out, n_in, *(SIZES[axis] for axis in window))
    kernel = np.arange(np.prod(kernel_shape), dtype=float).reshape(kernel_shape)
    weight = np.full(shape, np.nan)
    here.store(kernel, weight)
    places = connections(shape, layout, groups, transposed)
    assert len(places) == kernel.size
    for (o, i, offsets), index in places.items():
        assert weight[index] == kernel[(o, i, *(dict(offsets)[axis] for axis in window))]


@pytest.mark.parametrize(("layout", "groups", "transposed"), sorted(layouts()))
def test_a_connection_has_the_same_number_in_every_layout(layout, groups, transposed):
    """A weight of any layout holds the numbers of the plain "oi..." one, at the same connections."""
    axes = {"in_out": "io", "out_in": "oi"}.get(layout, layout)
    here = Layout(layout, groups, transposed)
    shape = tuple({**SIZES, "i": 6, "o": 3}[axis] for axis in axes)
    plain = "oi" + "".join(sorted(set(axes) - set("io"), key="dhwlxyz".index))
    plain_shape = here.kernel_shape(shape)
    x = init.He("uniform", mode="fan_geo")
    weight = x.init(shape, 3, "float64", layout=layout, groups=groups, transposed=transposed)
    expected = x.init(plain_shape, 3, "float64", layout=plain, groups=groups)
    first = connections(shape, layout, groups, transposed)
    second = connections(plain_shape, plain, groups, False)
    assert first.keys() == second.keys()
    assert all(weight[first[key]] == expected[second[key]] for key in first)


def test_store_writes_through_views():
    here = Layout("hwio")
    room = np.full((3, 3, 4, 9), 7.0, np.float32)
    kernel = np.random.default_rng(0).normal(size=(5, 4, 3, 3))
    here.store(kernel, room[..., 2:7])
    np.testing.assert_array_equal(room[..., 2:7], kernel.transpose(2, 3, 1, 0).astype(np.float32))
    assert np.all(room[..., :2] == 7.0)
    assert np.all(room[..., 7:] == 7.0)


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("io", {"groups": 0}, "groups"),
        ("io", {"groups": 1.5}, "groups"),
        ("io", {"groups": True}, "groups"),
        ("io", {"transposed": "no"}, "transposed"),
        ("in-out", {}, "in_out"),
        ("", {}, "layout"),
        ("oh", {}, "layout"),
        ("oo", {}, "layout"),
        ("ioi", {}, "layout"),
        ("oihwq", {}, "layout"),
        (None, {}, "layout"),
        (("i", "o"), {}, "layout"),
    ],
)
def test_bad_layouts(name, options, match):
    with pytest.raises(OptionError, match=match):
        Layout(name, **options)


@pytest.mark.parametrize(
    ("shape", "layout", "options", "error", "match"),
    [
        ((3, 3, 2, 4), "in_out", {}, ShapeError, "oihw"),  # more than two axes: nothing is guessed
        ((3,), "in_out", {}, ShapeError, "fan="),
        ((), "in_out", {}, ShapeError, "shape"),
        ((3, 4), "oihw", {}, ShapeError, "oihw"),
        (5, "in_out", {}, ShapeError, "shape"),
        ("35", "in_out", {}, ShapeError, "shape"),
        ((3, -1), "in_out", {}, ShapeError, ">= 0"),
        ((3, 2.0), "in_out", {}, ShapeError, "integers"),
        ((True, 2), "in_out", {}, ShapeError, "integers"),
        ((3, 4), "in_out", {"groups": 3}, OptionError, "divisor of 4 outputs"),
        ((4, 3, 2), "iol", {"groups": 3, "transposed": True}, OptionError, "divisor of 4 inputs"),
    ],
)
def test_shapes_that_do_not_fit(shape, layout, options, error, match):
    with pytest.raises(error, match=match):
        fans(shape, layout, **options)
    with pytest.raises(error, match=match):
        init.He().init(shape, 0, layout=layout, **options)


def test_numpy_integers_are_sizes():
    assert fans(np.array([3, 4])) == (3, 4)
    assert Layout("io", np.int64(1)) == Layout("io")
    assert isinstance(fans(np.array([3, 4]))[0], int)
