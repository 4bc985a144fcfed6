"""``deepecg privacy``: what a model gives away about those it was trained on."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepecg_jax.cli.resampling_options import (
    RESAMPLES,
    SEED,
    Cluster,
    Resamples,
    Unit,
    resampling,
)

if TYPE_CHECKING:
    from deepecg_jax.evaluation.privacy.results import Attack, NoAttack, PrivacyResult, Rate, Spread
    from deepecg_jax.evaluation.resampling.intervals import Estimate


def command(
    out: Annotated[Path, typer.Option(help="Folder for privacy.json.")],
    members: Annotated[
        Path | None, typer.Option(help="Predictions for records of the training data.")
    ] = None,
    non_members: Annotated[
        Path | None, typer.Option(help="Predictions of the same model for records it never saw.")
    ] = None,
    reference: Annotated[
        list[Path] | None,
        typer.Option(
            help="Predictions of other models for the same records, with a column 'member' where "
            "they were trained on some: --reference A.parquet B.parquet ..."
        ),
    ] = None,
    more: Annotated[
        list[Path] | None, typer.Argument(metavar="", hidden=True, show_default=False)
    ] = None,
    embeddings: Annotated[
        Path | None,
        typer.Option(help="NPZ or Parquet with embedding, patient_id and date, to find again."),
    ] = None,
    queries: Annotated[
        int | None, typer.Option(min=1, help="Search for so many recordings at most.")
    ] = None,
    resamples: Resamples = RESAMPLES,
    seed: Annotated[int, typer.Option(min=0, help="Seed of resampling and attackers.")] = SEED,
    cluster: Unit = Cluster.patient_id,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print privacy.json instead of a table.")
    ] = False,
) -> None:
    """Attack a model: membership from its predictions, identity from its embeddings."""
    from deepecg_jax.cli.console import console
    from deepecg_jax.errors import UserError
    from deepecg_jax.evaluation.privacy.analysis import privacy
    from deepecg_jax.evaluation.privacy.embedding_table import read_embeddings
    from deepecg_jax.evaluation.table.predictions import read_predictions
    from deepecg_jax.files import write_json

    if more and not reference:
        raise UserError(f"{more[0]} is one argument too many; give models after --reference.")
    tables = [*(reference or []), *(more or [])]
    result = privacy(
        None if members is None else read_predictions(members),
        None if non_members is None else read_predictions(non_members),
        [read_predictions(path) for path in tables],
        None if embeddings is None else read_embeddings(embeddings),
        resampling(resamples, seed, cluster),
        queries,
    )
    write_json(out / "privacy.json", result, indent=1, strict=True)
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))
        return
    _print(result)
    console.print(str(out / "privacy.json"), markup=False)


def _print(result: "PrivacyResult") -> None:
    from rich.table import Table

    from deepecg_jax.cli.console import console

    membership = result["membership"]
    if membership is not None:
        ratio = membership["likelihood_ratio"]
        attacks: dict[str, Attack | NoAttack] = {
            "loss": membership["loss"],
            "learned, new patients": membership["learned"]["by_patient"],
        }
        if ratio is not None:
            attacks["likelihood ratio, offline"] = ratio["offline"]
            attacks["likelihood ratio, online"] = ratio["online"]
        table = Table("attack", "AUROC", "TPR at FPR 0.1 %", "TPR at FPR 1 %")
        for name, part in attacks.items():
            if "auroc" in part:
                at = part["tpr_at_fpr"]
                table.add_row(name, _cell(part["auroc"]), _cell(at["0.001"]), _cell(at["0.01"]))
        published = membership["learned"]["published"]["auroc"]
        table.add_row("learned, published protocol", _cell(published), "", "")
        console.print(table)
        if membership["patients_in_both"]:
            console.print(
                f"{membership['patients_in_both']:,} patients have records on both sides, which "
                "weakens every attack on membership of a record."
            )
    found = result["reidentification"]
    if found is not None:
        console.print(
            f"{found['n_queries']:,} recordings of {found['n_query_patients']:,} patients searched "
            f"among {found['n_recordings']:,}: rank-1 {_cell(found['rank_1'])} (chance "
            f"{found['chance']['rank_1']:.4f}), rank-5 {_cell(found['rank_5'])}, mAP "
            f"{_cell(found['map'])}",
            markup=False,
            highlight=False,
        )


def _cell(estimate: "Estimate | Rate | Spread") -> str:
    if estimate["value"] is None:
        return str(estimate.get("reason", "–"))
    if estimate["low"] is None:
        return f"{estimate['value']:.3f}"
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"
