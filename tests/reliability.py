"""`python -m tests.reliability RECORD`: write the table of docs/reliability.md, from what the suite recorded."""

import json
import sys
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"
BEGIN, END = "<!-- made by make reliability -->\n", "<!-- until here -->\n"


def table(records: list[dict]) -> str:
    """A row for each way of each fault, by name."""
    rows: dict[tuple[str, str], list[int]] = {}
    for told in records:
        row = rows.setdefault((told["fault"], told["how"]), [0, 0, 0, 0, 0])
        for place, count in enumerate((1, told["accepted"], told["lost"], told["doubled"], told["open"])):
            row[place] += count
    lines = [
        "| fault | how | tries | alerts accepted | lost | rung twice | left open |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {fault} | {how} | {' | '.join(f'{n:,}' for n in row)} |" for (fault, how), row in sorted(rows.items())
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    records = [json.loads(line) for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()]
    page = PAGE.read_text(encoding="utf-8")
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(f"{head}{BEGIN}\n{table(records)}\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
