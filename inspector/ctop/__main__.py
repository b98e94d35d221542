"""`python -m inspector.ctop`."""

import sys

from inspector.ctop import main

sys.exit(main())
