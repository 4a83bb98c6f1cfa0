"""The command ``tripletrec``: one file for each of its commands; what they compute is in the rooms below."""

from tripletrec.cli.command import main

__all__ = ["main"]
