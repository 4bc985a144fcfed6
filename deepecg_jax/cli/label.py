"""``deepecg label``: free-text reports in, a table of the 77 findings out."""

import json
import shutil
from pathlib import Path
from typing import Annotated

import typer


def command(
    reports: Annotated[
        Path | None, typer.Argument(help="CSV or Parquet with a column of ids and one of texts.")
    ] = None,
    id_column: Annotated[str | None, typer.Option("--id", help="Column of unique ids.")] = None,
    text: Annotated[str | None, typer.Option(help="Column of report texts.")] = None,
    out: Annotated[Path | None, typer.Option(help="Parquet file to write.")] = None,
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
        Path | None, typer.Option(help="With --evaluate: CSV of all disagreements, to read.")
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
    from deepecg_jax.cli.label_tables import explain_json, print_explanation
    from deepecg_jax.errors import UserError
    from deepecg_jax.labelling.rules.schema import SHIPPED
    from deepecg_jax.labelling.tables.read import make_labeller

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
    if explain is not None:
        labels = make_labeller(rules, language).label(explain)
        if as_json:
            typer.echo(json.dumps(explain_json(explain, labels), ensure_ascii=False))
        else:
            print_explanation(explain, labels)
        return
    if reports is None or id_column is None or text is None:
        raise UserError("give REPORTS.csv with --id COLUMN and --text COLUMN, or --explain TEXT.")
    if out is None and evaluate is None:
        raise UserError("give --out labels.parquet for the labels (or --evaluate LABELS.csv).")
    if disagreements is not None and evaluate is None:
        raise UserError("--disagreements needs --evaluate LABELS.csv to disagree with.")
    if model is not None:
        from deepecg_jax.cli.label_bert import label
        from deepecg_jax.labelling.tables.read import read_reports

        read = read_reports(reports, id_column, text, encoding)
        label(read, model, thresholds, out, evaluate, disagreements, encoding, as_json)
        return
    _label(
        reports,
        id_column,
        text,
        out,
        language,
        encoding,
        workers,
        rules,
        evaluate,
        uncertain_as,
        disagreements,
        as_json,
    )


def _label(
    reports: Path,
    id_column: str,
    text: str,
    out: Path | None,
    language: str | None,
    encoding: str | None,
    workers: int,
    rules: Path | None,
    evaluate: Path | None,
    uncertain_as: str,
    disagreements: Path | None,
    as_json: bool,
) -> None:
    from deepecg_jax.cli.label_tables import print_comparison, print_summary, summary
    from deepecg_jax.errors import UserError
    from deepecg_jax.labelling.tables import agreement as compare
    from deepecg_jax.labelling.tables import read as table
    from deepecg_jax.labelling.tables import reference

    kinds = [kind.value for kind in compare.Uncertain]
    if uncertain_as not in kinds:
        raise UserError(f"--uncertain-as is one of {', '.join(kinds)}, not {uncertain_as!r}.")
    kind = compare.Uncertain(uncertain_as)
    read = table.read_reports(reports, id_column, text, encoding)
    known = None
    if evaluate is not None:  # before the labelling, so that its mistakes show at once
        known = reference.read_reference(evaluate, id_column, read.ids, encoding, kind)
    labels = table.label_texts(read.texts, language, rules, workers)
    result = summary(read.texts, labels)
    if out is not None:
        table.write_labels(table.to_table(read, labels), out)
        result["out"] = str(out)
    if known is not None:
        result["evaluation"] = compare.compare(labels, known, kind)
        if disagreements is not None:
            rows = compare.disagreements(read.ids, read.texts, labels, known, kind)
            table.write_rows(rows, disagreements)
            result["disagreements"] = str(disagreements)
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))
        return
    print_summary(result)
    if known is not None:
        print_comparison(result["evaluation"])
