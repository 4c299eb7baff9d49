"""`python -m tests.bench [--depth smoke|full] [--only intake1,steady] [--json FILE]`."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.bench.scenarios import SCENARIOS, run


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--depth", choices=("smoke", "full"), default="full")
    options.add_argument("--only", default="", help=",".join(SCENARIOS))
    options.add_argument("--json", type=Path, help="write the figures here too")
    chosen = options.parse_args()
    rows, broken = run(chosen.depth, chosen.only)
    if chosen.json:
        chosen.json.write_text(json.dumps({"rows": [asdict(row) for row in rows], "broken": broken}, indent=2))
    if missed := sum(row.missed for row in rows):
        print(f"{missed} of {len(rows)} figures miss their target")
    for what in broken:
        print(f"BROKEN: {what}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
