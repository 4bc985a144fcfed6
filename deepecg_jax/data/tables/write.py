"""Tables are written as CSV or Parquet by their suffix, whole or not at all."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from deepecg_jax.data.tables.read import PARQUET, TEXT
from deepecg_jax.errors import UserError


def check_suffix(path: Path) -> None:
    """UserError if a suffix is that of no table; a path without one becomes Parquet."""
    if path.suffix.lower() not in (*PARQUET, *TEXT, ""):
        raise UserError(
            f"{path} would be no table; tables are written as .parquet or .csv by their suffix."
        )


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table: ``.csv`` and ``.txt`` with commas, ``.tsv`` with tabs, else Parquet.

    In a CSV (UTF-8) texts that need it are quoted, and an empty cell is a null. Folders are made.

    Raises:
        UserError: another suffix, or a column that a CSV cannot hold.
    """
    check_suffix(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        if path.suffix.lower() in TEXT:
            tabs = path.suffix.lower() == ".tsv"
            options = pyarrow.csv.WriteOptions(
                delimiter="\t" if tabs else ",", quoting_style="needed"
            )
            pyarrow.csv.write_csv(table, part, options)
        else:
            pq.write_table(table, part)
        os.replace(part, path)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        what = " ".join(str(error).split())
        raise UserError(f"{path} cannot hold this table ({what}); write .parquet.") from error
    finally:
        part.unlink(missing_ok=True)
