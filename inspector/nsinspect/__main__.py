"""`python -m inspector.nsinspect`."""

import sys

from inspector.nsinspect import main

if __name__ == "__main__":
    sys.exit(main())
