"""Which line of Python an instruction of a compiled program comes from."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

PACKAGE = "deepecg_jax"
# what these do is better named by who calls them
_TOOLS = (
    "models/products.py",
    "models/sharding.py",
    "models/blocks/layers.py",
    "models/blocks/dropout.py",
)
_SECTIONS = ("FileNames", "FunctionNames", "FileLocations", "StackFrames")


@dataclass(frozen=True)
class Frames:
    """The stack frames of a program: number -> (file, line, number of the caller or 0)."""

    table: Mapping[int, tuple[str, int, int]]

    def source(self, frame: int | None) -> str:
        """``deepecg_jax/models/heads.py:64``: the innermost line of this package on the stack, or
        the innermost of all; empty where none is known. Of a tool that everything uses (a
        product, a normalisation) it is the caller's line.
        """
        stack = self._stack(frame)
        own = [
            (file.rpartition(f"/{PACKAGE}/")[2], line)
            for file, line in stack
            if f"/{PACKAGE}/" in file
        ]
        for file, line in [*(one for one in own if one[0] not in _TOOLS), *own]:
            return f"{PACKAGE}/{file}:{line}"
        if not stack:
            return ""
        file, line = stack[0]
        return f"{'/'.join(PurePosixPath(file).parts[-2:])}:{line}"

    def _stack(self, frame: int | None) -> list[tuple[str, int]]:
        found: list[tuple[str, int]] = []
        seen: set[int] = set()
        while frame is not None and frame in self.table and frame not in seen:
            seen.add(frame)
            file, line, frame = self.table[frame]
            found.append((file, line))
        return found


def read_frames(lines: Sequence[str]) -> Frames:
    """The tables that stand before the computations of a printed program."""
    tables: dict[str, dict[int, str]] = {name: {} for name in _SECTIONS}
    section = ""
    for line in lines:
        if line in tables:
            section = line
        elif section and (row := re.match(r"(\d+) (.*)", line)):
            tables[section][int(row[1])] = row[2]
        elif section and line:
            break  # the first computation
    files = {number: text.strip('"') for number, text in tables["FileNames"].items()}
    locations = {number: _fields(text) for number, text in tables["FileLocations"].items()}
    frames = {number: _fields(text) for number, text in tables["StackFrames"].items()}
    # callers are printed one too high, so that the first frame seems to be its own caller
    shift = 1 if frames.get(1, {}).get("parent_frame_id") == 1 else 0
    table: dict[int, tuple[str, int, int]] = {}
    for number, frame in frames.items():
        place = locations.get(frame.get("file_location_id", 0), {})
        file = files.get(place.get("file_name_id", 0), "")
        table[number] = (file, place.get("line", 0), frame.get("parent_frame_id", shift) - shift)
    return Frames(table)


def _fields(text: str) -> dict[str, int]:
    return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", text)}
