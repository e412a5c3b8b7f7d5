"""`python -m edgert` is the command `edgert`."""

import sys

from edgert.cli.main import main

sys.exit(main())
