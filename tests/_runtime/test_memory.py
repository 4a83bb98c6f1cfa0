"""What memory there is, and that too much of it is refused before it is taken."""

import pytest

from tripletrec._runtime.memory import (
    NotEnoughMemoryError,
    available_memory,
    check_memory,
    left_in_groups,
)


def test_available_memory_is_that_of_a_machine():
    there = available_memory()
    assert there is None or 0 < there < 2**60


def test_what_fits_is_let_pass_and_what_does_not_is_refused_with_the_numbers():
    check_memory(0, "nothing", "go on")
    if available_memory() is None:
        pytest.skip("the system does not say it")
    for kind in (MemoryError, ValueError, NotEnoughMemoryError):
        with pytest.raises(
            kind, match="^a dream needs 1,152,921,504.6 GB of memory, and "
        ) as caught:
            check_memory(2**60, "a dream", "wake up")
        assert str(caught.value).endswith("are available: wake up")


def test_a_variable_bounds_it(monkeypatch):
    monkeypatch.setenv("TRIPLETREC_MEMORY", "2e6")
    assert available_memory() == 2_000_000
    with pytest.raises(NotEnoughMemoryError, match="needs 2.0 MB of .* and 2.0 MB are available"):
        check_memory(2_000_001, "a dream", "wake up")
    monkeypatch.setenv("TRIPLETREC_MEMORY", "999")
    for n_bytes, text in ((1000, "1.0 kB"), (1_550_000, "1.6 MB"), (10**12, "1,000.0 GB")):
        with pytest.raises(
            NotEnoughMemoryError, match=f"needs {text} of memory, and 999 bytes are"
        ):
            check_memory(n_bytes, "a dream", "wake up")
    for wrong in ("2 GB", "0", "-1", "nan", "inf"):
        monkeypatch.setenv("TRIPLETREC_MEMORY", wrong)
        with pytest.raises(ValueError, match=f"TRIPLETREC_MEMORY must be .* got '{wrong}'"):
            available_memory()


def write_group(folder, limit, used, files, *, version):
    names = ("memory.max", "memory.current", "") if version == 2 else (
        "memory.limit_in_bytes", "memory.usage_in_bytes", "total_",
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    stat = f"{names[2]}inactive_file {files}\n{names[2]}active_file 1\nworkingset 7 8\n"
    (folder / "memory.stat").write_text(stat)
    return names


@pytest.mark.parametrize("version", [1, 2])
def test_what_groups_and_those_above_leave_is_the_least_and_kept_files_are_free(version, tmp_path):
    none = "max" if version == 2 else 2**63 - 4096
    names = write_group(tmp_path, none, 10**9, 0, version=version)
    assert left_in_groups(tmp_path, "/", names) is None
    write_group(tmp_path / "a", 1000, 700, 199, version=version)
    write_group(tmp_path / "a" / "b", 2000, 100, 0, version=version)
    assert left_in_groups(tmp_path, "/a/b", names) == 500
    assert left_in_groups(tmp_path, "/a/b/not/seen", names) == 500
    write_group(tmp_path / "a", 1000, 1700, 0, version=version)
    assert left_in_groups(tmp_path, "/a", names) == 0
