"""Sets of findings that are averaged over: categories, and custom groups from a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from deepecg_jax.errors import UserError
from deepecg_jax.files import read_json
from deepecg_jax.labels.findings import CATEGORIES

OTHER = "other"


def category_members(names: Sequence[str]) -> dict[str, list[int]]:
    """Which findings (as indices) belong to which category, categories without findings left out.

    The six DeepECG categories come first. A name such as ``superclass:NORM`` belongs to the
    category ``superclass``, any further name to ``other``. A finding may be in two categories.
    """
    members: dict[str, list[int]] = {category: [] for category in CATEGORIES}
    for j, name in enumerate(names):
        homes = [category for category, findings in CATEGORIES.items() if name in findings]
        if not homes:
            prefix, colon, _ = name.partition(":")
            homes = [(prefix if colon else "") or OTHER]
        for home in homes:
            members.setdefault(home, []).append(j)
    return {category: findings for category, findings in members.items() if findings}


def group_members(
    groups: Mapping[str, Sequence[str]], names: Sequence[str]
) -> dict[str, list[int]]:
    """Custom groups as indices of findings.

    Raises:
        UserError: a group is empty, names a finding twice, or one that the predictions lack.
    """
    members = {}
    for group, findings in groups.items():
        missing = [finding for finding in findings if finding not in names]
        if missing:
            raise UserError(
                f"Group '{group}' names '{missing[0]}', which the predictions do not have; they "
                f"have {', '.join(list(names)[:5])}{' ...' if len(names) > 5 else ''}."
            )
        if not findings:
            raise UserError(f"Group '{group}' has no findings; name at least one.")
        if len(set(findings)) < len(findings):
            raise UserError(f"Group '{group}' names a finding twice; once is enough.")
        members[group] = [list(names).index(finding) for finding in findings]
    return members


def read_groups(path: str | Path) -> dict[str, list[str]]:
    """Read ``{group: [finding, ...]}``.

    Raises:
        UserError: no such file, not JSON, or of another shape.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no groups file {path}; give a JSON file group -> findings.")
    content = read_json(path, dict, "write group -> findings")
    fits = all(
        isinstance(findings, list) and all(isinstance(name, str) for name in findings)
        for findings in content.values()
    )
    if not fits:
        raise UserError(f"{path} must hold an object group -> list of findings.")
    return content
