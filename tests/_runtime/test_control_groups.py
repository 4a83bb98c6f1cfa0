"""Which control groups a process is in."""

from pathlib import Path

from tripletrec._runtime.control_groups import folders, own_groups


def test_own_groups_are_of_one_of_the_two_versions():
    """None where there is no Linux; what they are follows the machine."""
    for version, root, path in own_groups("memory"):
        assert root == Path("/sys/fs/cgroup", *["memory"] * (version == 1))
        assert path.startswith("/")


def test_a_group_and_those_above_it():
    root = Path("/sys/fs/cgroup/cpu")
    assert folders(root, "/a/b") == [root / "a" / "b", root / "a", root]
    assert folders(root, "/") == [root]
