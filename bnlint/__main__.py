"""`python -m bnlint`: as `bnlint`, which does not search the current folder for modules."""

import os
import sys

# `python -m` puts the current folder first, where a `timeit.py` would be imported by `import torch` and run. This has
# to happen before anything else is imported; with `-P` Python has put nothing there, and the first entry is the user's.
if not sys.flags.safe_path and sys.path and sys.path[0] in ("", os.getcwd()):  # noqa: PTH109 (pathlib imports more)
    del sys.path[0]

from bnlint.cli.main import main

if __name__ == "__main__":
    main()
