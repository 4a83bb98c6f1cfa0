"""What Debian's packages need, their tags and who maintains them, as interactions: every mirror has them.

A file ``Packages`` (or ``.gz``, ``.xz``) is the list of all packages of a release, as in
``dists/bookworm/main/binary-amd64`` of a mirror. A package is a user; its items are the packages that it
depends on, recommends or suggests ("needs"), or its tags ("tags": "interface::shell"). A file ``Sources``, in
``dists/bookworm/main/source``, lists source packages: what each is built with ("builds"), and of each person
the packages that he or she maintains or uploads ("uploads"). Users and items with fewer than five are left
out; of those who upload packages with fewer than two people.
"""

from __future__ import annotations

import gzip
import lzma
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import tripletrec as tr

_RELATIONS = ("Depends", "Pre-Depends", "Recommends", "Suggests")
_BUILDS = ("Build-Depends", "Build-Depends-Indep", "Build-Depends-Arch")
_OPEN = {".gz": gzip.open, ".xz": lzma.open}


def read_packages(path: str | Path, kind: str) -> tr.Interactions:
    """Return the interactions of a list of packages.

    Parameters
    ----------
    path : path-like
    kind : {"needs", "tags", "builds", "uploads"}
    """
    found = {"needs": _needs, "tags": _tags, "builds": _builds, "uploads": _uploads}[kind]
    users, items = [], []
    for fields in _entries(path):
        own = sorted(found(fields))
        users += [fields["Package"]] * len(own)
        items += own
    if kind == "uploads":
        data = tr.Interactions.from_frame({"user": items, "item": users})
        return data.filter(min_per_user=5, min_per_item=2)
    data = tr.Interactions.from_frame({"user": users, "item": items})
    return data.filter(min_per_user=5, min_per_item=5)


def _entries(path: str | Path) -> Iterator[dict[str, str]]:
    """Yield the fields of each package by name."""
    with _OPEN.get(Path(path).suffix, open)(path, "rt", encoding="utf-8") as file:
        text = file.read()
    for entry in text.split("\n\n"):
        lines = entry.replace("\n ", " ").splitlines()
        fields = dict(line.split(": ", 1) for line in lines if ": " in line)
        if "Package" in fields:
            yield fields


def _needs(fields: dict[str, str]) -> set[str]:
    return _names(fields, _RELATIONS)


def _builds(fields: dict[str, str]) -> set[str]:
    return _names(fields, _BUILDS)


def _names(fields: dict[str, str], relations: Iterable[str]) -> set[str]:
    """Return the names of packages in some fields, the first of alternatives, without versions."""
    every = ",".join(fields.get(name, "") for name in relations).split(",")
    return {re.split(r"[ :(|<\[]", each.strip())[0] for each in every if each.strip()}


def _uploads(fields: dict[str, str]) -> set[str]:
    """Return the addresses of those who maintain or upload a package."""
    people = fields.get("Maintainer", "") + "," + fields.get("Uploaders", "")
    return {each.lower() for each in re.findall(r"<([^>]+)>", people)}


def _tags(fields: dict[str, str]) -> set[str]:
    """Return the tags of a package; ``a::{b,c}`` are two."""
    text = re.sub(
        r"([^\s,]*)\{([^}]*)\}",
        lambda found: ",".join(found[1] + each.strip() for each in found[2].split(",")),
        fields.get("Tag", ""),
    )
    return {each.strip() for each in text.split(",") if each.strip()}
