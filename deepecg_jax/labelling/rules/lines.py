"""The line of a rule file that a mistake is in, for the sentence that tells of it."""

from collections.abc import Sequence
from pathlib import Path

import yaml


def place(path: Path, line: int | None) -> str:
    """``FILE, line N``, or the file alone if the line is not known."""
    return str(path) if line is None else f"{path}, line {line}"


def line_of(path: Path, keys: Sequence[str | int]) -> int | None:
    """The line of the entry under these keys and list positions, counted from 1.

    What a YAML file does not have (a key that is missing, a name of the schema) is stepped over,
    so the line is that of the nearest entry around it.
    """
    node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    if node is None:
        return None
    line: int = node.start_mark.line + 1
    for key in keys:
        found = None
        if isinstance(node, yaml.MappingNode):
            found = next((pair for pair in node.value if pair[0].value == str(key)), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int):
            found = (node.value[key], node.value[key]) if key < len(node.value) else None
        if found is not None:
            line, node = found[0].start_mark.line + 1, found[1]
    return line


def line_with(path: Path, word: str) -> int | None:
    """The first line that has a word outside of comments, counted from 1."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if word in line.partition("#")[0]:
            return number
    return None
