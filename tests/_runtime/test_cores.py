"""How many cores there are, and that a limit on a container's time is one on them."""

import os

import pytest

from tripletrec._runtime.cores import available_cores, cores_of_groups


def test_there_are_no_more_than_the_machine_has():
    assert 1 <= available_cores() <= os.cpu_count()


def write_limit(folder, quota, *, version):
    folder.mkdir(parents=True, exist_ok=True)
    if version == 2:
        (folder / "cpu.max").write_text(f"{'max' if quota is None else quota} 100000\n")
        return
    (folder / "cpu.cfs_quota_us").write_text(f"{-1 if quota is None else quota}\n")
    (folder / "cpu.cfs_period_us").write_text("100000\n")


@pytest.mark.parametrize("version", [1, 2])
def test_the_least_that_a_group_and_those_above_allow_rounded_up(version, tmp_path):
    assert cores_of_groups(tmp_path, "/a", version) is None, "there are no files"
    write_limit(tmp_path, None, version=version)
    assert cores_of_groups(tmp_path, "/", version) is None
    write_limit(tmp_path / "a", 250_000, version=version)
    write_limit(tmp_path / "a" / "b", 800_000, version=version)
    assert cores_of_groups(tmp_path, "/a/b", version) == 3
    assert cores_of_groups(tmp_path, "/a/b/not/seen", version) == 3
    write_limit(tmp_path / "a" / "b", 50_000, version=version)
    assert cores_of_groups(tmp_path, "/a/b", version) == 1


@pytest.mark.parametrize("text", ["", "200000", "two 100000", "200000 0", "-5 100000"])
def test_what_is_no_limit_is_passed_over(text, tmp_path):
    (tmp_path / "cpu.max").write_text(text)
    assert cores_of_groups(tmp_path, "/") is None
