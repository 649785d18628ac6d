"""``python -m hyperinr`` is the console script."""

import sys

from hyperinr.cli import main

sys.exit(main())
