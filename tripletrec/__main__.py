"""``python -m tripletrec`` is the command ``tripletrec``, which is in `cli`."""

import sys

from tripletrec.cli import main

if __name__ == "__main__":
    sys.exit(main())
