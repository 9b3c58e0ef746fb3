"""Identity-like weights: Identity, Dirac, DeltaOrthogonal, against matrices and convolutions written out."""

import numpy as np
import pytest
from init_helpers import draw

from minidl import init
from minidl.errors import ShapeError


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 5), (5, 2)])
def test_identity(shape):
    for x in (init.Identity(gain=1.5), init.Dirac(gain=1.5)):
        w = draw(x, shape)
        np.testing.assert_array_equal(w, 1.5 * np.eye(*shape))
        assert np.mean(w * w) == pytest.approx(x.variance(*shape), rel=1e-15)
        assert x.bound(*shape) == 1.5


def test_identity_in_groups():
    w = init.Identity().init((3, 8), 0, groups=2)  # 3 inputs and 4 outputs of each group
    np.testing.assert_array_equal(w, np.hstack([np.eye(3, 4), np.eye(3, 4)]))


def convolve(x, kernel, groups=1):
    """Cross-correlate with zeros around, as frameworks do; x (channels, h, w), kernel oihw."""
    n_out, n_in, height, width = kernel.shape
    top, left = height // 2, width // 2
    padded = np.pad(x, [(0, 0), (top, height - 1 - top), (left, width - 1 - left)])
    y = np.zeros((n_out, *x.shape[1:]))
    for o in range(n_out):
        first = o // (n_out // groups) * n_in
        for i in range(n_in):
            for a in range(height):
                for b in range(width):
                    tap = padded[first + i, a : a + x.shape[1], b : b + x.shape[2]]
                    y[o] += kernel[o, i, a, b] * tap
    return y


@pytest.mark.parametrize("window", [(3, 3), (1, 5), (2, 4), (1, 1)])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_dirac_convolves_to_the_identity(window, groups):
    x = np.random.default_rng(0).normal(size=(4, 6, 7))
    shape = (4, 4 // groups, *window)
    kernel = init.Dirac().init(shape, 0, "float64", layout="oihw", groups=groups)
    np.testing.assert_array_equal(convolve(x, kernel, groups), x)
    assert np.mean(kernel**2) == pytest.approx(
        init.Dirac().variance(*init.fans(shape, "oihw", groups=groups)), rel=1e-15
    )


def test_dirac_is_that_of_pytorch():
    torch = pytest.importorskip("torch")
    layouts = {3: "oiw", 4: "oihw", 5: "oidhw"}
    for shape, groups in [((4, 4, 3), 1), ((6, 4, 3, 3), 1), ((4, 6, 2, 5), 1), ((6, 2, 3, 4, 5), 3)]:
        expected = torch.nn.init.dirac_(torch.empty(shape), groups=groups).numpy()
        ours = init.Dirac().init(shape, 0, layout=layouts[len(shape)], groups=groups)
        np.testing.assert_array_equal(ours, expected)


def test_delta_orthogonal_keeps_every_length():
    x = np.random.default_rng(0).normal(size=(3, 6, 7))
    for shape in [(3, 3, 3, 3), (5, 3, 3, 5), (8, 3, 1, 1)]:
        kernel = init.DeltaOrthogonal(gain=2.0).init(shape, 0, "float64", layout="oihw")
        assert np.count_nonzero(kernel) == shape[0] * shape[1]
        assert np.linalg.norm(convolve(x, kernel)) == pytest.approx(2 * np.linalg.norm(x), rel=1e-13)
        assert np.mean(kernel**2) == pytest.approx(
            init.DeltaOrthogonal(2.0).variance(*init.fans(shape, "oihw")), rel=1e-13
        )
        # the delta stands in Orthogonal's place for the same stream
        dense = init.Orthogonal(gain=2.0).init((shape[1], shape[0]), 0, "float64")
        np.testing.assert_array_equal(kernel[:, :, shape[2] // 2, shape[3] // 2], dense.T)
    np.testing.assert_array_equal(draw(init.DeltaOrthogonal(), (5, 3)), draw(init.Orthogonal(), (5, 3)))


def test_delta_orthogonal_refuses_to_narrow():
    x = init.DeltaOrthogonal()
    specs = [init.LayerSpec("a", (3, 4, 3, 3), layout="oihw"), init.LayerSpec("b", (4, 2), "in_out")]
    weight = np.full((3, 4, 3, 3), 7.0)
    for attempt in (lambda: x.check_network(specs), lambda: x.init_layer(specs[0], 0, weight)):
        with pytest.raises(ShapeError, match=r"layer 'a'.*4 inputs and 3 outputs"):
            attempt()
    assert np.all(weight == 7.0)
    x.check_network(specs[1:])
    x.init((8, 2, 3), 0, layout="oiw", groups=4)
    with pytest.raises(ShapeError, match="4 inputs and 2 outputs"):
        x.init((8, 4, 3), 0, layout="oiw", groups=4)
