"""`python -m tane` is `tane`."""

import sys

from tane.cli import main

sys.exit(main())
