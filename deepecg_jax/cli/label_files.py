"""The files of ``deepecg label``, the same for rules and for a classifier."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deepecg_jax.labelling.tables.reports import Reports


@dataclass(frozen=True)
class Files:
    """What is read, and what is written of it."""

    reports: Path
    id_column: str
    text: str
    encoding: str | None
    out: Path | None
    evaluate: Path | None
    disagreements: Path | None

    def read(self) -> "Reports":
        """The reports; UserError also if a file to write would be no table."""
        from deepecg_jax.data.tables.write import check_suffix
        from deepecg_jax.labelling.tables.reports import read_reports

        for path in filter(None, (self.out, self.disagreements)):
            check_suffix(path)
        return read_reports(self.reports, self.id_column, self.text, self.encoding)
