"""PTB-XL: 21,799 clinical 12-lead ECGs with SCP-ECG statements, in PhysioNet's folder layout."""

import ast
import csv
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import tensorflow_datasets as tfds

from deepecg_jax.data.building.wfdb_builder import WfdbBuilder
from deepecg_jax.data.options import Option, choice
from deepecg_jax.data.records import SPLITS, Plan, PlannedRecord
from deepecg_jax.errors import UserError
from deepecg_jax.labels import scp
from deepecg_jax.signals.people import parse_age

DATABASE, STATEMENTS = "ptbxl_database.csv", "scp_statements.csv"
PUBLISHED_FOLDS = {"train": range(1, 9), "validation": [9], "test": [10]}
_COLUMNS = ("ecg_id", "patient_id", "age", "sex", "report", "scp_codes", "strat_fold")
_FILE_COLUMNS = {"500": "filename_hr", "100": "filename_lr"}
_SEX = {"0": "male", "1": "female"}
# a column of subsets whose scp_codes are PTB-XL's own in some rows, and were put together from
# lists of subclasses, forms and rhythms in others
_SOURCE, _OWN = "scp_source", "ptbxl_database"


@dataclass(frozen=True)
class ChosenFolds:
    """Folds that option ``folds`` names: ``splits`` fold -> split, and the option in words."""

    splits: Mapping[int, str]
    words: str


def read_folds(option: str) -> ChosenFolds | None:
    """``1-7/8/9`` as folds of train, validation and test; None for ``published``.

    Raises:
        UserError: it cannot be read, uses a fold twice, or names none.
    """
    if option == "published":
        return None
    parts = option.split("/")
    if len(parts) != len(SPLITS):
        raise UserError(
            f"Option folds is {option!r}, but must name folds of train/validation/test, such as "
            "1-7/8/9."
        )
    splits: dict[int, str] = {}
    for split, part in zip(SPLITS, parts, strict=True):
        for fold in _parse_folds(part, option):
            if fold in splits:
                raise UserError(f"Option folds is {option!r}: fold {fold} stands there twice.")
            splits[fold] = split
    if not splits:
        raise UserError(f"Option folds is {option!r}, which names no fold.")
    named = (f"{split} {part or '-'}" for split, part in zip(SPLITS, parts, strict=True))
    return ChosenFolds(splits, ", ".join(named))


def _parse_folds(part: str, option: str) -> list[int]:
    folds: list[int] = []
    for piece in filter(None, part.split(",")):
        ends = piece.split("-")
        if not all(end.strip().isdigit() for end in ends) or len(ends) > 2:
            raise UserError(f"Option folds is {option!r}: {piece!r} is no fold and no range.")
        folds += range(int(ends[0]), int(ends[-1]) + 1)
    return folds


RATE: Option[Literal["auto", "500", "100"]] = choice(
    "rate", "records at 500 or 100 Hz; auto takes 500 if present", "auto", "500", "100"
)
FOLDS = Option("folds", "published", "folds of train/validation/test, such as 1-7/8/9", read_folds)


class Builder(WfdbBuilder):
    """See README.md beside this file."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First version."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Download PTB-XL 1.0.3 from https://physionet.org/content/ptb-xl/1.0.3/ and give the "
        "folder that holds ptbxl_database.csv, scp_statements.csv and records500 or records100."
    )
    OPTIONS: ClassVar[tuple[Option[Any], ...]] = (RATE, FOLDS)

    @classmethod
    def label_names(cls) -> tuple[str, ...]:
        """Superclasses, subclasses, the 71 statements (also by kind), and the findings of them."""
        return scp.label_names()

    def plan(self, source: Path) -> Plan:
        """Rows of ptbxl_database.csv that are assigned to a split, in the file's order."""
        rows = _read_csv(source / DATABASE, _COLUMNS)
        _check_statements(source / STATEMENTS)
        file_column = self._file_column(source, rows)
        folds = [_fold(row) for row in rows]
        assignment, notes = assign_folds(self.options[FOLDS], sorted(set(folds)))
        records, unknown = [], Counter()
        for row, fold in zip(rows, folds, strict=True):
            if fold in assignment:
                record, strange = _record(row, fold, assignment[fold], source, file_column)
                records.append(record)
                unknown.update(strange)
        counts = {f"unknown_statement:{name}": count for name, count in unknown.items()}
        if len(records) < len(rows):
            counts["ecgs_in_unused_folds"] = len(rows) - len(records)
        return Plan(tuple(records), (), counts, tuple(notes))

    def _file_column(self, source: Path, rows: Sequence[Mapping[str, str]]) -> str:
        asked = self.options[RATE]
        for rate in ("500", "100") if asked == "auto" else (asked,):
            column = _FILE_COLUMNS[rate]
            if (source / f"records{rate}").is_dir() and any(row.get(column) for row in rows):
                return column
        wanted = "records500 or records100" if asked == "auto" else f"records{asked}"
        raise UserError(
            f"{source} has no folder {wanted} to which {DATABASE} refers; download it or choose "
            "another --option rate."
        )


def assign_folds(
    chosen: ChosenFolds | None, present: Sequence[int]
) -> tuple[dict[int, str], list[str]]:
    """Fold -> split, and notes for the summary.

    Without a choice, as published: 1-8 train, 9 validation, 10 test; when fold 10 is absent but 8
    and 9 are there, 9 is the test split and 8 validates, so that such a source still has a held-out
    test split.

    Raises:
        UserError: the choice names a fold that is not there.
    """
    if chosen is None:
        if 10 not in present and {8, 9} <= set(present):
            published = {"train": range(1, 8), "validation": [8], "test": [9]}
            notes = [
                "The source has no fold 10: fold 9 is the test split, fold 8 the validation split, "
                "folds 1-7 the training split (published: 1-8, 9, 10)."
            ]
        else:
            published, notes = PUBLISHED_FOLDS, []
        return {f: s for s, folds in published.items() for f in folds if f in present}, notes
    for fold in chosen.splits:
        if fold not in present:
            there = ", ".join(map(str, present))
            raise UserError(f"Fold {fold} of option folds is not in the source; it has {there}.")
    return dict(chosen.splits), [f"Folds by option: {chosen.words}."]


def _read_csv(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or [])]
            if missing:
                raise UserError(f"{path} has no column {missing[0]!r}; is it PTB-XL's own file?")
            rows = list(reader)
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; the source must be PTB-XL's folder.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as CSV: {error}.") from error
    if not rows:
        raise UserError(f"{path} has no rows.")
    return rows


def _check_statements(path: Path) -> None:
    """The labels are those of PTB-XL 1.0.3; a source that defines them otherwise is refused."""
    rows = _read_csv(path, ("diagnostic", "diagnostic_class", "diagnostic_subclass"))
    first = next(iter(rows[0]))  # PTB-XL leaves the name of the first column empty
    found = {
        row[first]: (row["diagnostic_class"], row["diagnostic_subclass"])
        for row in rows
        if row["diagnostic"]
    }
    for statement in scp.statements():
        if not statement.diagnostic:
            continue
        ours = (statement.superclass, statement.subclass)
        if found.get(statement.name, ours) != ours:
            raise UserError(
                f"{path} puts {statement.name} into {'/'.join(found[statement.name])}, but PTB-XL "
                f"1.0.3 into {'/'.join(ours)}; use PTB-XL's own file."
            )


def _fold(row: Mapping[str, str]) -> int:
    try:
        return int(float(row["strat_fold"]))
    except ValueError as error:
        raise UserError(
            f"{DATABASE}: ecg_id {row['ecg_id']} has the fold {row['strat_fold']!r}, which is no "
            "number."
        ) from error


def _record(
    row: Mapping[str, str], fold: int, split: str, source: Path, file_column: str
) -> tuple[PlannedRecord, list[str]]:
    """The planned record of a row, and its statements that PTB-XL's list does not have."""
    from_classes = row.get(_SOURCE, _OWN) != _OWN
    try:
        labels, strange = _labels(row["scp_codes"], from_classes)
    except (ValueError, SyntaxError) as error:
        raise UserError(
            f"{DATABASE}: scp_codes of ecg_id {row['ecg_id']} is {row['scp_codes'][:60]!r}, which "
            "is no dictionary of statements."
        ) from error
    age, counts = parse_age(row["age"], over_89=300)
    if not any(labels[: len(scp.superclasses())]):
        counts = (*counts, "no_superclass")
    if from_classes:
        counts = (*counts, "statements_from_classes")
    record = PlannedRecord(
        record_id=row["ecg_id"],
        patient_id=_whole(row["patient_id"]) or f"ecg-{row['ecg_id']}",
        split=split,
        path=os.path.join(source, row[file_column]) if row.get(file_column) else "",
        labels=labels,
        age=age,
        sex=_SEX.get(_whole(row["sex"]), "unknown"),
        site=_whole(row.get("site", "")),
        device=row.get("device", "").strip(),
        report=row["report"],
        fold=fold,
        counts=counts,
    )
    return record, strange


@lru_cache(maxsize=2**16)  # many ECGs have the same statements
def _labels(scp_codes: str, from_classes: bool) -> tuple[np.ndarray, list[str]]:
    """Labels (read-only) of a row's statements, and those that PTB-XL's list does not have."""
    codes = ast.literal_eval(scp_codes)
    if not isinstance(codes, dict):
        raise ValueError("not a dictionary")
    labels = scp.labels_of(codes, from_classes)
    labels.setflags(write=False)
    names = {statement.name for statement in scp.statements()}
    return labels, [name for name in codes if name not in names]


def _whole(text: str) -> str:
    """``13722.0`` -> ``13722``: PTB-XL's CSV was written with floating-point ids."""
    text = text.strip()
    return text[:-2] if text.endswith(".0") else text
