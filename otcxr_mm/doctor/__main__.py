"""`python -m otcxr_mm.doctor`."""

import sys

from . import main

sys.exit(main())
