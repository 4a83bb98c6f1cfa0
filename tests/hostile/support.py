"""What the fuzzers share: how many inputs, what may come of one, and how long that may take."""

import faulthandler
import warnings
from contextlib import contextmanager

ALLOWED = (ValueError, TypeError, OSError, FloatingPointError)
MAX_SECONDS = 20
LONGEST_SENTENCE = 600


@contextmanager
def no_hang():
    """Print all stacks and end the process where something takes longer than `MAX_SECONDS`."""
    faulthandler.dump_traceback_later(MAX_SECONDS, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def outcome(call, *arguments, **options):
    """Return what a call answers or the error it raises: one of those allowed, in one sentence.

    Warnings are allowed; anything else that is raised is a failure of the test.
    """
    with no_hang(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call(*arguments, **options)
        except ALLOWED as error:
            text = str(error)
            assert text and len(text) <= LONGEST_SENTENCE, text
            return error
