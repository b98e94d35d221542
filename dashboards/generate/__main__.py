"""Write every dashboard to dashboards/grafana, or to the directory given."""

from __future__ import annotations

import sys
from pathlib import Path

from dashboards.generate.all import DASHBOARDS
from dashboards.generate.dashboard import text

HERE = Path(__file__).parents[1] / "grafana"


def main(directory: Path) -> None:
    """Write one file a dashboard, named as its uid is."""
    for dashboard in DASHBOARDS:
        (directory / f"{dashboard['uid']}.json").write_text(text(dashboard), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
