"""Every figure of the results page again, from the tables beside this file (Python 3.11, NumPy, SciPy)."""

import json
import sys
from pathlib import Path

here = Path(__file__).resolve().parent
sys.path.insert(0, str(here / "code"))
from studies.statistics.archive import difference, figures  # noqa: E402

found = json.dumps(figures(here), indent=1)
page = json.loads((here / "results.json").read_text("utf-8"))
print(found)
print(f"largest difference to results.json: {difference(page, json.loads(found)):.1e}", file=sys.stderr)
