"""Files of arrays against the library of the format, which reads and writes the same."""

import io
import json
import mmap
import tempfile

import numpy as np
import pytest
import safetensors.numpy
from safetensors import deserialize, safe_open

from tripletrec._runtime.tensors import map_arrays, parse_json, read_arrays, write_arrays

TYPES = ("?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")


def arrays_of(rng):
    found = {"empty": np.empty((0, 3), np.float32), "one": np.array(7, np.int64)}
    for kind in TYPES:
        shape = rng.integers(1, 4, rng.integers(1, 4))
        found[f"ü {kind}"] = rng.integers(0, 2, shape).astype(kind)
    found["turned"] = rng.random((3, 5)).T
    found["swapped"] = rng.random((3, 5)).astype(">f8")
    return found


def read_whole(content):
    arrays, metadata = read_arrays(io.BytesIO(content), len(content))
    return metadata, arrays


def read_mapped(content):
    with tempfile.TemporaryFile() as file:
        file.write(content or b"\0")
        file.flush()
        arrays, metadata = map_arrays(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    assert not any(each.flags.writeable for each in arrays.values())
    return metadata, arrays


@pytest.fixture(params=[read_whole, read_mapped], ids=["whole", "mapped"])
def read(request):
    return request.param


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].shape == array.shape
        assert found[name].dtype == array.dtype.newbyteorder("=")


def test_written_here_and_read_there(read, tmp_path, rng):
    arrays = arrays_of(rng)
    with open(tmp_path / "file", "wb") as file:
        write_arrays(file, arrays, {"text": '"ü\\'})
    assert_equal(safetensors.numpy.load_file(tmp_path / "file"), arrays)
    with safe_open(tmp_path / "file", framework="np") as file:
        assert file.metadata() == {"text": '"ü\\'}
    metadata, found = read((tmp_path / "file").read_bytes())
    assert metadata == {"text": '"ü\\'}
    assert_equal(found, arrays)


def test_written_there_and_read_here(read, rng):
    arrays = {
        name: np.ascontiguousarray(each, each.dtype.newbyteorder("="))
        for name, each in arrays_of(rng).items()
    }
    metadata, found = read(safetensors.numpy.save(arrays, {"a": "b"}))
    assert metadata == {"a": "b"}
    assert_equal(found, {name: each.reshape(arrays[name].shape) for name, each in arrays.items()})
    assert read(safetensors.numpy.save(arrays))[0] == {}


def test_arrays_are_of_one_s_own_and_can_be_written(rng):
    _, found = read_whole(
        safetensors.numpy.save({"a": np.ones(3, np.float32), "b": np.ones(5, np.uint8)})
    )
    for each in found.values():
        assert each.flags.writeable and each.flags.aligned
        each += 1


def test_what_is_read_here_is_read_there_too(read, rng, many):
    """Of damaged headers: here no more is taken for a file than there."""
    whole = safetensors.numpy.save({"a": np.ones((2, 3), np.float32), "b": np.arange(4)})
    n_read = 0
    for _ in range(many(2000)):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole) - 56, rng.integers(1, 3)):
            damaged[place] = rng.choice([rng.integers(256), *b'0123456789[]{},:"'])
        try:
            _, found = read(bytes(damaged))
        except ValueError as error:
            assert str(error) and len(str(error)) < 300
            continue
        n_read += 1
        theirs = dict(deserialize(bytes(damaged)))
        assert theirs.keys() == found.keys()
        for name, each in found.items():
            assert bytes(theirs[name]["data"]) == each.tobytes()
    print(n_read, "read")


NO_PLACE, ELSEWHERE = "array 'a' is without its place", "does not lie where its shape says"
NOT_READ = "array 'a' is of a type or shape that is not read here"


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ([], "its header is no JSON object"),
        ({"__metadata__": []}, "the texts in its header are no JSON object of strings"),
        ({"__metadata__": {"a": 1}}, "the texts in its header are no JSON object of strings"),
        ({"a": 1}, NO_PLACE),
        ({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0]}}, NO_PLACE),
        ({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 5]}}, ELSEWHERE),
        ({"a": {"dtype": "U8", "shape": [4], "data_offsets": [1, 5]}}, ELSEWHERE),
        ({"a": {"dtype": "U8", "shape": [4], "data_offsets": [4, 0]}}, ELSEWHERE),
        ({"a": {"dtype": "U8", "shape": [3], "data_offsets": [0, 4]}}, ELSEWHERE),
        ({"a": {"dtype": "U8", "shape": [2**61, 8], "data_offsets": [0, 4]}}, ELSEWHERE),
        ({"a": {"dtype": "U8", "shape": [-2, -2], "data_offsets": [0, 4]}}, NOT_READ),
        ({"a": {"dtype": "U8", "shape": [4] + [1] * 70, "data_offsets": [0, 4]}}, "dimension"),
        ({"a": {"dtype": "U8", "data_offsets": [0, 4]}}, NOT_READ),
        ({"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}, NOT_READ),
        ({"a": {"dtype": "BOOL", "shape": [4], "data_offsets": [0, 4]}}, "truth values other than"),
        ({"a": {"dtype": [], "shape": [4], "data_offsets": [0, 4]}}, NOT_READ),
    ],
    ids=lambda each: each[:20] if isinstance(each, str) else json.dumps(each)[:60],
)
def test_headers_that_lie(header, message):
    text = json.dumps(header).encode()
    content = len(text).to_bytes(8, "little") + text + b"\1\2\3\4"
    with pytest.raises(ValueError, match=message):
        read_mapped(content)
    with pytest.raises(ValueError, match="deserializing|array"):  # the words of the library
        read_whole(content)


@pytest.mark.parametrize("content", [b"", b"1234567", b"\xff" * 8, b"\x09" + b"\0" * 15])
def test_files_without_a_header(content, read):
    with pytest.raises(ValueError, match="(?i)header"):
        read(content)


def test_mapped_arrays_look_into_the_file_where_they_lie_as_their_type_needs(rng):
    arrays = {"a": rng.random(8).astype(np.float32), "b": rng.integers(0, 9, 3).astype(np.uint8)}
    content = safetensors.numpy.save(arrays)
    _, found = read_mapped(content)
    assert not found["a"].flags.owndata
    n_header = int.from_bytes(content[:8], "little")
    for shift in range(1, 4):  # a header of another length moves what follows
        longer = (n_header + shift).to_bytes(8, "little") + content[8 : 8 + n_header]
        _, found = read_mapped(longer + b" " * shift + content[8 + n_header :])
        assert_equal(found, arrays)
        assert all(each.flags.aligned for each in found.values())


def test_a_file_that_is_cut_off_meanwhile():
    content = safetensors.numpy.save({"a": np.ones(100, np.float32)})
    with pytest.raises(ValueError, match=f"ends after {len(content) - 1} of {len(content)} bytes"):
        read_arrays(io.BytesIO(content[:-1]), len(content))


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "Expecting value"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "name 'c' twice in one object"),
        ("[" * 100_000, "nested too deep"),
        ("1" * 5000, "a number of 5000 digits"),
    ],
    ids=lambda text: text[:10],
)
def test_json_that_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_json(text)


def test_a_header_that_would_not_be_read_again_is_not_written():
    file = io.BytesIO()
    with pytest.raises(
        ValueError, match="take 100000000 bytes beside its arrays, at most 50000000 can"
    ):
        write_arrays(file, {}, {"text": "x" * 100_000_000})
    assert file.getvalue() == b""
