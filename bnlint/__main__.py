"""`python -m bnlint`: as `bnlint`, with the current folder searched after everything installed, not before."""

import os
import sys

# `python -m` puts the current folder first, where a `timeit.py` would be imported by `import torch` and run. The user's
# own modules must still be found, so the folder goes last. This has to happen before anything else is imported.
if sys.path and sys.path[0] in ("", os.getcwd()):  # noqa: PTH109 (pathlib would be one more import to hijack)
    sys.path.append(os.getcwd())  # noqa: PTH109
    del sys.path[0]

from bnlint.cli.main import main

if __name__ == "__main__":
    main()
