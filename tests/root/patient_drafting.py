"""The `sandbox` command to which no draft of a record is too old, however slow a tracer makes it."""

from __future__ import annotations

import math
import sys

from sandbox import cli, drafting

drafting.STALE_SECONDS = math.inf

if __name__ == "__main__":
    sys.exit(cli.main())
