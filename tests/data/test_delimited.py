"""Text files: ids as they are written, numbers and times, and what is no such file."""

import gzip
import signal

import numpy as np
import pytest

from tripletrec.data.interactions import Interactions

LOG = (
    "item,x,user,stars,when\n7,?,ann,2,2024-01-31\n3,?,bob,0.5,2024-02-01T01:00:00+01:00\n"
    "7,?,bob,1,2024-02-02\n"
)
ALL = {"value": "stars", "timestamp": "when"}


def write(tmp_path, text, name="log.csv"):
    path = tmp_path / name
    content = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz", "log.tsv", "log.tsv.gz"])
@pytest.mark.parametrize("change", [str, lambda t: t.replace("\n", "\r\n"), lambda t: "\ufeff" + t,
                                    lambda t: t.rstrip("\n")])  # fmt: skip
def test_columns(tmp_path, name, change):
    text = change(LOG).replace(",", "\t") if ".tsv" in name else change(LOG)
    data = Interactions.read(write(tmp_path, text, name), **ALL)
    assert data.user_ids.tolist() == ["ann", "bob"] and data.item_ids.tolist() == [3, 7]
    np.testing.assert_array_equal(data.tocsr().toarray(), [[0, 2], [0.5, 1]])
    assert data.timestamps.tolist() == np.array(
        ["2024-01-31", "2024-02-01", "2024-02-02"], "M8[ns]"
    ).tolist()  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "ids"),
    [
        (["7", "3", "-1"], [-1, 3, 7]),
        (["007", "7", "8"], ["007", "7", "8"]),
        (["+7", "7", "8"], ["+7", "7", "8"]),
        (["1.0", "2.0", "3"], ["1.0", "2.0", "3"]),
        (["-0", "1", "2"], ["-0", "1", "2"]),
        (["1e3", "1", "2"], ["1", "1e3", "2"]),
        (["9223372036854775807", "-9223372036854775808", "0"], [-(2**63), 0, 2**63 - 1]),
        (["9223372036854775808", "1", "18446744073709551615"], [1, 2**63, 2**64 - 1]),
        (["9223372036854775808", "-1", "2"], [-1, 2, 2**63]),
        (["18446744073709551616", "1", "2"], ["1", "18446744073709551616", "2"]),
        (["NA", "null", "None"], ["NA", "None", "null"]),
        (["True", "False", "nan"], ["False", "True", "nan"]),
        (["2024-01-01", "2", "3"], ["2", "2024-01-01", "3"]),
        (['"a,b"', '"a""b"', '"x\ny"'], ['a"b', "a,b", "x\ny"]),
        (["\u0664", "1", "2"], ["1", "2", "\u0664"]),
        ([" 7", "7", "8 "], [" 7", "7", "8 "]),
    ],
    ids=str,
)  # fmt: skip
def test_ids_are_what_is_written(tmp_path, texts, ids):
    lines = "".join(f"{each},1\n" for each in texts)
    data = Interactions.read(write(tmp_path, "user,item\n" + lines))
    assert data.user_ids.tolist() == ids


def test_ids_are_what_those_of_like_are(tmp_path):
    train = Interactions.from_frame({"user": ["007", "1"], "item": [1, 2]})
    path = write(tmp_path, "user,item\n1,2\n1,1\n")
    test = Interactions.read(path, like=train)
    assert test.space == train.space and len(test) == 2
    odd = write(tmp_path, "user,item\n1,2\n1,junk\n2,1\n1,01\n", "odd.csv")
    test = Interactions.read(odd, like=train, unknown="drop")
    assert test.n_dropped == 3 and test.indices.tolist() == [1]
    with pytest.raises(ValueError, match="column 'item': unknown item id 'junk'"):
        Interactions.read(write(tmp_path, "user,item\n1,2\n1,junk\n", "junk.csv"), like=train)
    numbered = Interactions(np.eye(3))
    assert Interactions.read(path, like=numbered).rows.tolist() == [1, 1]


def test_unsigned_ids_are_found_in_text(tmp_path):
    large = [1, 2, 2**63 + 5, 2**64 - 1]
    train = Interactions.from_frame({"user": np.array(large, np.uint64), "item": [1, 2, 3, 4]})
    lines = "".join(f"{user},{item}\n" for user, item in zip(large, [4, 1, 2, 3], strict=True))
    path = write(tmp_path, "user,item\n" + lines)
    test = Interactions.read(path, like=train)
    assert test.rows.tolist() == [0, 1, 2, 3] and test.indices.tolist() == [3, 0, 1, 2]
    own = Interactions.read(path)
    assert own.user_ids.dtype == np.uint64 and own.user_ids.tolist() == large
    odd = write(tmp_path, f"user,item\n{large[3]},4\n-1,4\nx,4\n", "odd.csv")
    assert Interactions.read(odd, like=train, unknown="drop").rows.tolist() == [3]


def test_several_files_and_whole_numbers_as_times(tmp_path):
    for number, lines in enumerate(("a,1,5\n", "b,x,3\nc,2,4\n", "")):
        write(tmp_path, "user,item,t\n" + lines, f"{number}.csv")
    data = Interactions.read(tmp_path, timestamp="t")
    assert data.item_ids.tolist() == ["1", "2", "x"] and data.timestamps.tolist() == [5, 3, 4]
    assert data.timestamps.dtype == np.int64


LATE = 1_700_000_000_000_000_000


@pytest.mark.parametrize("rest", ["", "b,1,1.5\n"])
def test_whole_times_stay_exact_beside_missing_ones(rest, tmp_path):
    lines = [f"u,{n},{LATE + n}\n" for n in range(3)]
    path = write(tmp_path, f"user,item,t\n{lines[2]}{lines[0]}a,9,\n{lines[1]}", "0.csv")
    write(tmp_path, "user,item,t\n" + rest, "1.csv")
    data = Interactions.read(path, timestamp="t", missing="drop")
    assert (data.timestamps - LATE).tolist() == [0, 1, 2] and data.n_dropped == 1
    several = Interactions.read(tmp_path, timestamp="t", missing="drop")
    assert several.timestamps.tolist() == (
        [1.5, *[float(LATE)] * 3] if rest else [LATE, LATE + 1, LATE + 2]
    )
    with pytest.raises(ValueError, match="column 't' has a missing time at position 2, and 1 in"):
        Interactions.read(path, timestamp="t")


@pytest.mark.thorough
def test_a_long_file_is_read_in_pieces(tmp_path):
    n = 1_100_000
    users = np.arange(n) % 1000
    lines = "".join(f"{user},{user % 7}\n" for user in users.tolist())
    path = write(tmp_path, "user,item\n" + lines + "x,6\n")
    data = Interactions.read(path)
    assert data.n_users == 1001 and data.item_ids.tolist() == list(range(7))
    assert data.n_merged == n - 1000 and data.values.sum() == n + 1
    with open(path, "ab") as file:
        file.write(b",5\n")
    with pytest.raises(ValueError, match=f"column 'user' has a missing id at position {n + 1}"):
        Interactions.read(path)


@pytest.mark.parametrize(
    ("text", "options", "error", "message"),
    [
        ("", {}, ValueError, "log.csv' is empty: a header is needed"),
        ("user,item\n", {}, ValueError, "log.csv' has no rows: at least one"),
        ("x,user,item\n", {}, ValueError, "log.csv' has no rows: at least one"),
        ("user;item\na;1\n", {}, ValueError, "log.csv' has no column 'user': its columns are .'user;item'"),
        ("user,item,user\na,1,b\n", {}, ValueError, "log.csv' has 2 columns of the name 'user'"),
        ("user,item\na,1\n,2\n", {}, ValueError, "column 'user' has a missing id at position 1"),
        ("user,item\na\n", {}, ValueError, "column 'item' has a missing id at position 0"),
        ("user,item,v\na,1,x\n", {"value": "v"}, ValueError,
         "values of column 'v' of '.*log.csv' must be numbers, got 'x'"),
        ("user,item,v\na,1,5\nb,1,1_000\n", {"value": "v"}, ValueError,
         "values of column 'v' of '.*log.csv' must be numbers, got '1_000'"),
        ("user,item,v\na,1,\uff15\n", {"value": "v"}, ValueError, "must be numbers, got '\uff15'"),
        ("user,item,v\na,1,-2\n", {"value": "v"}, ValueError, "negative value -2.0"),
        ("user,item,v\na,1,\n", {"value": "v"}, ValueError, "got the value nan"),
        ("user,item,v\na,1,NaN\n", {"value": "v"}, ValueError, "got the value nan"),
        ("user,item,t\na,1,NA\n", {"timestamp": "t"}, ValueError, "missing time at position 0"),
        ("name,user,item\n\nc,a,1\nd,b,2,\nc, d,a,1\n", {}, ValueError,
         "'.*log.csv' has 3 columns, but row 3 below the header has more fields: '1' is beyond the last"),
        ("user,item,t\na,1,yesterday\n", {"timestamp": "t"}, ValueError,
         "timestamps of column 't' must be numbers or dates of ISO 8601"),
        ("user,item,t\na,1,true\n", {"timestamp": "t"}, ValueError, "dates of ISO 8601, .*, got True"),
        ("user,item,t\na,1,5\na,2,1_0\n", {"timestamp": "t"}, ValueError, "ISO 8601, .*, got '1_0'"),
        ("user,item,t\na,1,\nb,1,3\n", {"timestamp": "t"}, ValueError, "missing time at position 0"),
        ("user,item,t\na,1,\nb,1,2024-01-01\n", {"timestamp": "t"}, ValueError, "missing date at pos"),
        (b"user,item\n\xff\xfe,1\n", {}, ValueError, "cannot read .*log.csv': UnicodeDecodeError"),
        ('user,item\n"a,1\n', {}, ValueError, "cannot read .*log.csv': ParserError"),
        ("user,item\na,1\n", {"user": None}, ValueError, "log.csv' has no column None"),
        ("user,item\na,1\n", {"duplicates": "mean"}, ValueError, "duplicates must be one of"),
        ("user,item\na,1\n", {"like": 5}, TypeError, "like must be Interactions, got int"),
        ("user,item\na,1\n", {"unknown": "skip"}, ValueError, "unknown must be 'raise' or 'drop'"),
    ],
)  # fmt: skip
def test_other_files_get_one_sentence(tmp_path, text, options, error, message):
    with pytest.raises(error, match=message) as info:
        Interactions.read(write(tmp_path, text), **options)
    assert "\n" not in str(info.value) and len(str(info.value)) < 500


def test_values_of_all_writings(tmp_path):
    texts = ["5", " 2", "+3", "1e-1", ".5", "7.", "99999999999999999999999", "True"]
    for number, text in enumerate(texts):
        write(tmp_path, f"user,item,v\na,{number},{text}\n", f"{number}.csv")
    data = Interactions.read(tmp_path, value="v")
    np.testing.assert_allclose(data.values, [5, 2, 3, 0.1, 0.5, 7, 1e23, 1])
    lines = "".join(f"a,{number},{text}\n" for number, text in enumerate([*texts[:-1], ""]))
    path = write(tmp_path, "user,item,v\n" + lines, "log.csv")
    again = Interactions.read(path, value="v", missing="drop")
    assert again.values.tolist() == data.values[:-1].tolist() and again.n_dropped == 1


def test_numbers_and_dates_do_not_mix(tmp_path):
    write(tmp_path, "user,item,t\na,1,5\n", "0.csv")
    write(tmp_path, "user,item,t\na,1,2024-01-01\n", "1.csv")
    with pytest.raises(TypeError, match="column 't' must be all numbers or all dates, got both"):
        Interactions.read(tmp_path, timestamp="t")


def test_damaged_gzip_gets_one_sentence(tmp_path):
    whole = gzip.compress(("user,item\n" + "a,1\n" * 5000).encode())
    path = tmp_path / "log.csv.gz"
    for content in (whole[:40], b"user,item\na,1\n", whole[:30] + b"\0" * 9 + whole[39:]):
        path.write_bytes(content)
        with pytest.raises((ValueError, OSError), match="cannot read .*log.csv.gz'"):
            Interactions.read(path)


@pytest.mark.usefixtures("heeds_ctrl_c")
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_ctrl_c_is_one(tmp_path, n, monkeypatch):
    """At any read: of the header, and of what is below it."""
    path, calls = write(tmp_path, LOG, "log.csv.gz"), []

    def interrupting(read):
        def interrupted(*arguments):
            calls.append(read)
            if len(calls) == n:
                signal.raise_signal(signal.SIGINT)
            return read(*arguments)

        return interrupted

    monkeypatch.setattr(gzip.GzipFile, "read", interrupting(gzip.GzipFile.read))
    with pytest.raises(KeyboardInterrupt):
        Interactions.read(path, **ALL)
