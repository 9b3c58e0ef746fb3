"""The safetensors container: against the safetensors package, and against damaged files."""

import json
import os
import sys

import numpy as np
import pytest

from minidl.errors import DtypeError, FileFormatError, OptionError
from minidl.io import read_safetensors, write_safetensors

RNG = np.random.default_rng(0)
TENSORS = {
    "0.bias": RNG.standard_normal(3).astype(np.float32),
    "mask": RNG.integers(0, 256, (3, 5)).astype(np.uint8),
    "0.weight": RNG.standard_normal((4, 3)),
    "step": np.array(12345678901234, dtype=np.int64),
    "empty": np.zeros((0, 7), dtype=np.float64),
    "Größe λ": np.array([np.nan, np.inf, -0.0], dtype=np.float32),
}
METADATA = {"format": "minidl", "architecture": '{"layers": ["Dense"]}', "ünï": "cødé\n"}


def assert_same(got, expected):
    assert set(got) == set(expected)
    for name, array in expected.items():
        assert got[name].dtype == array.dtype, name
        assert got[name].shape == array.shape, name
        assert got[name].tobytes() == array.tobytes(), name


def pack(header, data=b""):
    """Return a file with this header (bytes, or what becomes JSON) and these data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


# --- files that are right ---


def test_round_trip(tmp_path):
    path = tmp_path / "net.safetensors"
    write_safetensors(path, TENSORS, METADATA)
    tensors, metadata = read_safetensors(path)
    assert_same(tensors, TENSORS)
    assert list(tensors) == list(TENSORS)
    assert metadata == METADATA
    for array in tensors.values():
        assert array.flags.writeable
        assert array.flags.aligned
        assert array.flags.c_contiguous
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    assert length % 8 == 0
    assert data[8:9] == b"{"
    header = json.loads(data[8 : 8 + length])
    for name, array in TENSORS.items():
        assert header[name]["data_offsets"][0] % array.itemsize == 0
    assert len(data) == 8 + length + sum(array.nbytes for array in TENSORS.values())


def test_the_package_reads_ours(tmp_path):
    safetensors = pytest.importorskip("safetensors")
    numpy_format = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "net.safetensors"
    write_safetensors(path, TENSORS, METADATA)
    assert_same(numpy_format.load_file(path), TENSORS)
    with safetensors.safe_open(path, framework="np") as file:
        assert file.metadata() == METADATA


def test_we_read_the_package(tmp_path):
    numpy_format = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "net.safetensors"
    numpy_format.save_file(TENSORS, path, metadata=METADATA)
    tensors, metadata = read_safetensors(path)
    assert_same(tensors, TENSORS)
    assert metadata == METADATA
    numpy_format.save_file({"x": np.ones(2, dtype=np.float16)}, path)
    with pytest.raises(FileFormatError, match=r"a dtype among F32, F64, I64, U8.*'F16'"):
        read_safetensors(path)


def test_nothing_to_write(tmp_path):
    path = tmp_path / "empty.safetensors"
    write_safetensors(path, {}, {})
    assert read_safetensors(path) == ({}, {})
    numpy_format = pytest.importorskip("safetensors.numpy")
    assert numpy_format.load_file(path) == {}


def test_any_memory_layout(tmp_path):
    path = tmp_path / "net.safetensors"
    a = np.arange(24.0).reshape(4, 6)
    given = {
        "transposed": a.T,
        "strided": a[::2, ::-1],
        "big-endian": a.astype(">f4"),
        "list": np.array([1, 2]).tolist(),
        "read-only": np.broadcast_to(a[0], (3, 6)),
    }
    write_safetensors(path, given, {})
    tensors, _ = read_safetensors(path)
    for name, array in given.items():
        np.testing.assert_array_equal(tensors[name], array)
        assert tensors[name].dtype.isnative


def test_files_of_others_need_not_be_aligned_or_sorted(tmp_path):
    path = tmp_path / "net.safetensors"
    values = np.array([1.5, -2.5])
    header = {"late": entry("F64", (2,), (3, 19)), "early": entry("U8", (3,), (0, 3))}
    path.write_bytes(pack(header, b"\1\2\3" + values.astype("<f8").tobytes()))
    tensors, metadata = read_safetensors(path)
    np.testing.assert_array_equal(tensors["late"], values)
    np.testing.assert_array_equal(tensors["early"], [1, 2, 3])
    assert tensors["late"].flags.aligned
    assert metadata == {}


# --- writing ---


@pytest.mark.parametrize(
    ("tensors", "metadata", "error", "text"),
    [
        ({"x": np.ones(2, dtype=np.int32)}, {}, DtypeError, "tensor 'x' has dtype int32"),
        ({"x": np.ones(2, dtype=complex)}, {}, DtypeError, "float32, float64, int64 or uint8"),
        ({"x": np.array([None])}, {}, DtypeError, "object"),
        ({"x": np.array(["a"])}, {}, DtypeError, "<U1"),
        ({"__metadata__": np.ones(2)}, {}, OptionError, "__metadata__"),
        ({3: np.ones(2)}, {}, OptionError, "tensor name 3"),
        ({"\ud800": np.ones(2)}, {}, OptionError, "valid text"),
        ({}, {"epoch": 3}, OptionError, "metadata 'epoch': 3"),
        ({}, {3: "x"}, OptionError, "metadata 3"),
    ],
)
def test_what_cannot_be_written(tmp_path, tensors, metadata, error, text):
    path = tmp_path / "net.safetensors"
    with pytest.raises(error, match=text):
        write_safetensors(path, tensors, metadata)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("function", ["replace", "fsync"])
def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch, function):
    path = tmp_path / "net.safetensors"
    write_safetensors(path, TENSORS, METADATA)
    before = path.read_bytes()

    def fail(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(KeyboardInterrupt):
        write_safetensors(path, {"x": np.ones(3)}, {})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["net.safetensors"]


def test_replacing_a_file(tmp_path):
    path = tmp_path / "net.safetensors"
    write_safetensors(path, TENSORS, METADATA)
    write_safetensors(os.fsencode(path), {"x": np.ones(3)}, {})
    assert list(read_safetensors(str(path))[0]) == ["x"]
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        write_safetensors(tmp_path / "no" / "net.safetensors", {}, {})


@pytest.mark.skipif(sys.platform == "win32", reason="links and modes are POSIX")
def test_links_are_followed_and_the_mode_is_that_of_a_new_file(tmp_path):
    target, link, plain = tmp_path / "target", tmp_path / "link", tmp_path / "plain"
    target.touch()
    plain.touch()
    link.symlink_to(target)
    write_safetensors(link, {"x": np.ones(3)}, {})
    assert link.is_symlink()
    assert list(read_safetensors(target)[0]) == ["x"]
    assert target.stat().st_mode == plain.stat().st_mode


# --- files that are wrong ---


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*no\.safetensors"):
        read_safetensors(tmp_path / "no.safetensors")


HUGE = 2**63 - 1


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "at least 8 bytes.*found 0 bytes"),
        (b"\0" * 7, "at least 8 bytes.*found 7 bytes"),
        (b"\0" * 8, "begins with '{'"),
        (b"\x80\x04\x95\x10\0\0\0\0" + b"pickle" * 9, "a header of at most 54 bytes"),
        ((100_000_001).to_bytes(8, "little") + b"{}", "a header of at most 2 bytes"),
        (b"\xff" * 8 + b"{}", "a header of at most 2 bytes"),
        (pack(b" {}"), "begins with '{'"),
        (pack(b"[]"), "begins with '{'"),
        (pack(b"{"), "valid JSON"),
        (pack(b"{} {}"), "valid JSON"),
        (pack(b'{"a\xff": 1}'), "valid JSON"),
        (pack(b'{"a":' * 100000), "valid JSON"),
        (pack(b'{"a":' + b"1" * 10000 + b"}"), "valid JSON|dtype, shape"),
        (pack({"__metadata__": 3}), "an object as __metadata__; found 3"),
        (pack({"__metadata__": {"a": 1}}), "a string as metadata 'a'; found 1"),
        (pack(b'{"a": {}, "a": {}}'), "each name once in the header; found 'a' twice"),
        (pack(b'{"a": {"dtype": "F32", "dtype": "F32"}}'), "'dtype' twice"),
        (pack({"a": 3}), "dtype, shape and data_offsets for tensor 'a'; found 3"),
        (pack({"a": {"dtype": "F32"}}), "dtype, shape and data_offsets"),
        (pack({"a": {**entry(), "b": 1}}, b"\0" * 8), "dtype, shape and data_offsets"),
        (pack({"a": entry("BF16")}, b"\0" * 8), "a dtype among .*found 'BF16'"),
        (pack({"a": entry(["F32"])}, b"\0" * 8), "a dtype among"),
        (pack({"a": entry(shape=[-2])}, b"\0" * 8), "a list of sizes as shape"),
        (pack({"a": entry(shape=[2.0])}, b"\0" * 8), "a list of sizes as shape"),
        (pack({"a": entry(shape=[True])}, b"\0" * 8), "a list of sizes as shape"),
        (pack({"a": {**entry(), "shape": 2}}, b"\0" * 8), "a list of sizes as shape"),
        (pack({"a": entry(shape=[1] * 33)}, b"\0" * 8), "a list of sizes as shape"),
        (pack({"a": entry(shape=[10**25, 0])}), "a list of sizes as shape"),
        (pack({"a": entry(shape=[HUGE, HUGE, 0], offsets=(0, 0))}), "a possible shape"),
        (pack({"a": entry(shape=[HUGE] * 32)}, b"\0" * 8), "bytes for tensor 'a'"),
        (pack({"a": entry(offsets=(8, 0))}, b"\0" * 8), r"\[begin, end\]"),
        (pack({"a": entry(offsets=(0, 8, 8))}, b"\0" * 8), r"\[begin, end\]"),
        (pack({"a": entry(offsets=(-8, 0))}, b"\0" * 8), r"\[begin, end\]"),
        (pack({"a": entry(offsets=("0", "8"))}, b"\0" * 8), r"\[begin, end\]"),
        (pack({"a": entry(shape=[3])}, b"\0" * 8), r"12 bytes for tensor 'a' .*which are 8"),
        (pack({"a": entry(offsets=(4, 12))}, b"\0" * 12), "a hole: it begins at 4"),
        (
            pack({"a": entry(), "b": entry(offsets=(4, 12))}, b"\0" * 12),
            "tensor 'b' to begin at byte 8 of the data; found an overlap: it begins at 4",
        ),
        (pack({"a": entry(), "b": entry()}, b"\0" * 8), "an overlap"),
        (pack({"a": entry()}, b"\0" * 9), "8 bytes of data, as the header says; found 9"),
        (pack({"a": entry()}, b"\0" * 7), "8 bytes of data, as the header says; found 7"),
        (pack({}, b"\0"), "0 bytes of data, as the header says; found 1"),
    ],
)
def test_damaged_files(tmp_path, content, text):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=text) as caught:
        read_safetensors(path)
    assert "bad.safetensors: expected " in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_a_header_beyond_the_limit(tmp_path):
    path = tmp_path / "big.safetensors"
    with open(path, "wb") as file:
        file.write((100_000_001).to_bytes(8, "little") + b"{")
        file.truncate(100_000_100)  # sparse: takes no room
    with pytest.raises(FileFormatError, match="a header of at most 100000000 bytes"):
        read_safetensors(path)


def test_flipped_and_cut_files_raise_nothing_else(tmp_path):
    path = tmp_path / "net.safetensors"
    write_safetensors(path, TENSORS, METADATA)
    original = path.read_bytes()
    header_end = 8 + int.from_bytes(original[:8], "little")
    rng = np.random.default_rng(7)
    read = refused = 0

    def attempt(content):
        nonlocal read, refused
        path.write_bytes(content)
        try:
            read_safetensors(path)
            read += 1
        except FileFormatError:
            refused += 1

    for cut in range(0, len(original), 3):
        attempt(original[:cut])
    assert read == 0
    for _ in range(3000):
        content = bytearray(original)
        for _ in range(rng.integers(1, 4)):
            where = rng.integers(header_end) if rng.random() < 0.9 else rng.integers(len(content))
            content[where] = rng.integers(256) if rng.random() < 0.5 else content[where] ^ 1
        attempt(bytes(content))
    # a flip within a name, a text or the data goes unseen, one in the structure does not
    assert read > 100
    assert refused > 1000
