"""``python -m hyperinr`` is the console script."""

import os
import sys

# Python puts the working folder first, where strangers' files would take the place of libraries (SECURITY.md).
if sys.path[0] == os.getcwd():
    del sys.path[0]

from hyperinr.cli import main

if __name__ == '__main__':
    sys.exit(main())
