"""``deepecg label``: free-text reports in, a table of the 77 findings out."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from deepecg_jax.cli.label_files import Files


def command(
    reports: Annotated[
        Path | None, typer.Argument(help="CSV or Parquet with a column of ids and one of texts.")
    ] = None,
    id_column: Annotated[str | None, typer.Option("--id", help="Column of unique ids.")] = None,
    text: Annotated[str | None, typer.Option(help="Column of report texts.")] = None,
    out: Annotated[Path | None, typer.Option(help="Parquet or CSV file to write.")] = None,
    language: Annotated[
        str | None, typer.Option(help="en, fr, de or sv. Default: detected for each report.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Encoding of a CSV file. Default: UTF-8.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    rules: Annotated[
        Path | None, typer.Option(help="Folder of your own rules (see --export-rules).")
    ] = None,
    evaluate: Annotated[
        Path | None,
        typer.Option(help="Reference labels: the id column, and finding columns or scp_codes."),
    ] = None,
    uncertain_as: Annotated[
        str,
        typer.Option(
            help="In --evaluate an uncertain finding (or statement) is: present, absent, left-out."
        ),
    ] = "present",
    disagreements: Annotated[
        Path | None, typer.Option(help="With --evaluate: table of all disagreements, to read.")
    ] = None,
    explain: Annotated[
        str | None, typer.Option(help="Show what this text says, with its words highlighted.")
    ] = None,
    export_rules: Annotated[
        Path | None, typer.Option(help="Write a copy of the shipped rules here, to edit.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    method: Annotated[str, typer.Option(help="rules, or bert: a classifier.")] = "rules",
    model: Annotated[
        Path | None, typer.Option(help="With --method bert: a local Hugging Face folder.")
    ] = None,
    thresholds: Annotated[
        Path | None,
        typer.Option(
            help="With --method bert: JSON label -> number. Default: the model's own, or for the "
            "77 findings the published ones."
        ),
    ] = None,
) -> None:
    """Label free-text ECG reports (English, French, German, Swedish) with the 77 findings."""
    from deepecg_jax.errors import UserError
    from deepecg_jax.labelling.rules.rule_files import SHIPPED

    if method not in ("rules", "bert"):
        raise UserError(f"--method is rules or bert, not {method!r}.")
    if method == "rules" and (model is not None or thresholds is not None):
        raise UserError("--model and --thresholds are of a classifier; add --method bert.")
    if method == "bert":
        for_rules = {
            "--explain": explain,
            "--export-rules": export_rules,
            "--rules": rules,
            "--language": language,
            "--workers": workers if workers != 1 else None,
            "--uncertain-as": uncertain_as if uncertain_as != "present" else None,
        }
        wrong = [name for name, value in for_rules.items() if value is not None]
        if wrong:
            raise UserError(f"{wrong[0]} is of the rules; leave it out with --method bert.")
        if model is None:
            raise UserError("--method bert needs --model FOLDER, a local Hugging Face folder.")
    if export_rules is not None:
        if export_rules.exists():
            raise UserError(f"{export_rules} exists already; give a new folder.")
        shutil.copytree(SHIPPED, export_rules)
        typer.echo(f"{export_rules}: edit, then use --rules {export_rules}")
        return
    reading = Reading(language, rules, workers, uncertain_as)
    if explain is not None:
        _explain(explain, reading, as_json)
        return
    if reports is None or id_column is None or text is None:
        raise UserError("give REPORTS.csv with --id COLUMN and --text COLUMN, or --explain TEXT.")
    if out is None and evaluate is None:
        raise UserError("give --out labels.parquet for the labels (or --evaluate LABELS.csv).")
    if disagreements is not None and evaluate is None:
        raise UserError("--disagreements needs --evaluate LABELS.csv to disagree with.")
    files = Files(reports, id_column, text, encoding, out, evaluate, disagreements)
    if model is None:
        _label(files, reading, as_json)
        return
    from deepecg_jax.cli.label_bert import label

    label(files, model, thresholds, as_json)


@dataclass(frozen=True)
class Reading:
    """How the rules read."""

    language: str | None
    rules: Path | None
    workers: int
    uncertain_as: str


def _explain(text: str, reading: Reading, as_json: bool) -> None:
    from deepecg_jax.cli.label_tables import explain_json, print_explanation
    from deepecg_jax.labelling.rules.processes import make_labeller

    labels = make_labeller(reading.rules, reading.language).label(text)
    if as_json:
        typer.echo(json.dumps(explain_json(text, labels), ensure_ascii=False))
    else:
        print_explanation(text, labels)


def _label(files: Files, reading: Reading, as_json: bool) -> None:
    from deepecg_jax.cli.label_tables import print_comparison, print_summary, summary
    from deepecg_jax.data.tables.write import write_table
    from deepecg_jax.errors import UserError
    from deepecg_jax.labelling.rules.processes import label_texts
    from deepecg_jax.labelling.tables.against_reference import Uncertain, compare, disagreements
    from deepecg_jax.labelling.tables.reference import read_reference
    from deepecg_jax.labelling.tables.reports import to_table

    kinds = [kind.value for kind in Uncertain]
    if reading.uncertain_as not in kinds:
        raise UserError(
            f"--uncertain-as is one of {', '.join(kinds)}, not {reading.uncertain_as!r}."
        )
    kind = Uncertain(reading.uncertain_as)
    reports = files.read()
    known = None
    if files.evaluate is not None:  # before the labelling, so that its mistakes show at once
        known = read_reference(files.evaluate, files.id_column, reports.ids, files.encoding, kind)
    labels = label_texts(reports.texts, reading.language, reading.rules, reading.workers)
    result = summary(reports.texts, labels)
    if files.out is not None:
        write_table(to_table(reports, labels), files.out)
        result["out"] = str(files.out)
    if known is not None:
        result["evaluation"] = compare(labels, known, kind)
        if files.disagreements is not None:
            write_table(disagreements(reports, labels, known, kind), files.disagreements)
            result["disagreements"] = str(files.disagreements)
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))
        return
    print_summary(result)
    if "evaluation" in result:
        print_comparison(result["evaluation"])
