"""Rows of results: written when measured, an error is a row too."""

import json
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

Row = dict[str, Any]  # JSON values


class Rows:
    """The file ``rows.jsonl`` in a folder, to which several processes append in turn."""

    def __init__(self, folder: Path, new: bool = False):
        self.folder = folder
        self.file = folder / "rows.jsonl"
        if new:
            self.file.write_text("", encoding="utf-8")

    def add(self, item: str, case: str, **values: Any) -> None:
        """Append a row and make sure that it is on disk."""
        line = json.dumps({"item": item, "case": case, **values})
        with self.file.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
        print(line, flush=True)

    def all(self) -> list[Row]:
        """Every row so far."""
        return [json.loads(line) for line in self.file.read_text(encoding="utf-8").splitlines()]

    def value(self, item: str, key: str) -> float | None:
        """The first value under ``key`` in the rows of an item."""
        return next((r[key] for r in self.all() if r["item"] == item and key in r), None)


def tried(case: str, measure: Callable[[], Row]) -> Row:
    """What ``measure`` gives as the row of a case, or the error that it ended with."""
    try:
        return {"case": case, **measure()}
    except Exception as error:
        return {"case": case, "error": told(error)}


def told(error: Exception, most: int = 300) -> str:
    """Kind, first line and place of an error; the whole goes to ``log.txt``."""
    traceback.print_exception(error)
    lines = str(error).strip().splitlines() or [""]
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {lines[0]}"[:most] + f" ({Path(place.filename).name})"
