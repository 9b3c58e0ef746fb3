"""The streams of random numbers: keys, independence, one for each seed, path and role."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from init_helpers import filled, spec

from minidl import init
from minidl.errors import OptionError

GOLDEN_KEYS = [(16785096737696941759, 9533401529701472631), (12014865990016998476, 11347128957378944137)]


def test_stream_is_a_value():
    stream = init.Stream(7, "0", "weight")
    assert stream == init.Stream(7).child("0", "weight") == init.Stream(np.int64(7), "0", "weight")
    assert hash(stream) == hash(init.Stream(7, "0", "weight"))
    assert pickle.loads(pickle.dumps(stream)) == stream
    assert eval(repr(stream), vars(init)) == stream
    with pytest.raises(AttributeError):
        stream.seed = 3
    with pytest.raises(AttributeError):
        del stream.key
    assert stream != "stream"


def test_streams_of_different_names_differ():
    streams = [
        init.Stream(0),
        init.Stream(1),
        init.Stream(-1),
        init.Stream(2**200),
        init.Stream(2**200 + 1),
        init.Stream(0, "0"),
        init.Stream(0, 0),
        init.Stream(0, ""),
        init.Stream(0, "", ""),
        init.Stream(0, "ab", "c"),
        init.Stream(0, "a", "bc"),
        init.Stream(0, "abc"),
        init.Stream(0, "a", "sb"),  # the tag of a part must not pass for text
        init.Stream(0, "assb"),
        init.Stream(0, "0", "weight"),
        init.Stream(0, "0", "bias"),
        init.Stream(0, "\udc80"),
    ]
    assert len({stream.key for stream in streams}) == len(streams)
    assert len(set(streams)) == len(streams)


def test_stream_key_is_golden():
    assert init.Stream(0).key == GOLDEN_KEYS[0]
    assert init.Stream(7, "0", "weight").key == GOLDEN_KEYS[1]


def test_stream_draws_are_those_of_numpy():
    stream = init.Stream(3, "shuffle", 0)
    generator = np.random.Philox(key=np.array(stream.key, np.uint64))
    np.testing.assert_array_equal(stream.raw(101), generator.random_raw(101))
    assert sorted(stream.permutation(50).tolist()) == list(range(50))
    assert stream.permutation(50).tolist() != stream.child(1).permutation(50).tolist()


def test_neighbouring_streams_are_uncorrelated():
    n = 20_000
    streams = [init.Stream(seed, path, role) for seed in (0, 1) for path in "01" for role in "wb"]
    draws = np.array([init.Normal(1.0).init((n, 1), stream, np.float64)[:, 0] for stream in streams])
    off_diagonal = np.corrcoef(draws)[np.triu_indices(len(streams), 1)]
    assert np.all(np.abs(off_diagonal) < 5 / math.sqrt(n))


@pytest.mark.parametrize("seed", [None, 1.0, "1", True, np.random.default_rng(0)])
def test_bad_seed(seed):
    with pytest.raises(OptionError, match="seed"):
        init.Stream(seed)
    with pytest.raises(OptionError, match="rng"):
        init.He().init((2, 2), seed)


@pytest.mark.parametrize("part", [None, 1.0, b"0", ("0",), True])
def test_bad_path(part):
    with pytest.raises(OptionError, match="path"):
        init.Stream(0, part)


# --- streams belong to paths ----------------------------------------------------------------------


def test_a_layer_does_not_depend_on_the_others():
    small = [("0", (8, 6)), ("1", (6, 3))]
    large = [("0", (8, 6)), ("new", (6, 6)), ("1", (6, 3))]
    x = init.Pair(init.He(), init.Normal(0.1))
    first = {path: filled(x, spec(path, shape)) for path, shape in small}
    second = {path: filled(x, spec(path, shape)) for path, shape in reversed(large)}
    for path, (weight, bias) in first.items():
        np.testing.assert_array_equal(weight, second[path][0])
        np.testing.assert_array_equal(bias, second[path][1])
    assert not np.any(first["0"][0][:6, :6] == second["new"][0])


def test_roles_paths_and_seeds_have_their_own_numbers():
    x = init.Pair(init.Normal(1.0), init.Normal(1.0))
    draws = [filled(x, spec(path, (40, 1)), seed)[0] for path in "01" for seed in (0, 1)]
    draws.append(np.resize(filled(x, spec("0", (1, 40)))[1], (40, 1)))
    assert len(np.unique(draws)) == 5 * 40


def test_more_outputs_keep_the_ones_before():
    x = init.Normal(1.0)
    few, many = filled(x, spec("0", (10, 3)))[0], filled(x, spec("0", (10, 5)))[0]
    np.testing.assert_array_equal(few, many[:, :3])


def test_seed_may_be_a_stream():
    weight = np.empty((4, 4))
    init.He().init_layer(spec("0", (4, 4)), init.Stream(3, "ensemble", 1), weight)
    alone = init.He().init((4, 4), init.Stream(3, "ensemble", 1, "0", "weight"), np.float64)
    np.testing.assert_array_equal(weight, alone)


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(-(2**70), 2**70),
    st.text("01/é", max_size=5),
)
@settings(max_examples=30, deadline=None)
def test_any_shape_seed_and_path(fan_in, fan_out, seed, path):
    weight, _ = filled(init.He("uniform"), spec(path, (fan_in, fan_out)), seed)
    assert np.abs(weight).max() <= math.sqrt(6 / fan_in)
    again, _ = filled(init.He("uniform"), spec(path, (fan_in, fan_out)), seed)
    np.testing.assert_array_equal(weight, again)
