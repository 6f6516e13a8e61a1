"""Writes the whole list of bad inputs: python -m tests.bad FOLDER

`expected.json` says of each file its row and what reading it must give.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.bad import good, hostile
from tests.bad.corpus import write_all


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    told = write_all(folder)
    secret = folder / "secret" / "secret.txt"
    secret.parent.mkdir(exist_ok=True)
    secret.write_text('{"secret": "never read"}', encoding="utf-8")
    outcomes = hostile.write_all(
        folder / "hostile", secret, lambda kind, place: good.write_model(place, kind)
    )
    told += [
        {"row": "hostile", "file": f"hostile/{name}", "expected": told_} for name, told_ in outcomes.items()
    ]
    (folder / "expected.json").write_text(json.dumps(told, ensure_ascii=False, indent=1), encoding="utf-8")
    print(f"{len(told)} bad inputs and what is expected of them: {folder / 'expected.json'}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.bad FOLDER")
    main(Path(sys.argv[1]))
