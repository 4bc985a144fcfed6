"""``deepecg calibrate``: fit a recalibration on validation predictions, or apply one."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class MappingKind(StrEnum):
    """How scores are mapped."""

    temperature = "temperature"
    platt = "platt"
    isotonic = "isotonic"


def command(
    predictions: Annotated[
        Path, typer.Argument(help="Parquet: validation predictions; with --apply, any predictions.")
    ],
    out: Annotated[
        Path, typer.Option(help="calibration.json; with --apply, the recalibrated Parquet.")
    ],
    method: Annotated[
        MappingKind | None, typer.Option(help="The mapping to fit, one a finding.")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="Also store calibration.json in this bundle.")
    ] = None,
    apply: Annotated[
        Path | None,
        typer.Option("--apply", help="A calibration.json, or a bundle that holds one."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print calibration.json, or what was recalibrated.")
    ] = False,
) -> None:
    """Make scores mean what they say: fit on validation data, apply to the rest.

    The order of the scores stays (isotonic: up to new ties), so AUROC hardly changes; thresholds
    do, and must be fitted again on recalibrated validation predictions.
    """
    from deepecg_jax.errors import UserError

    if apply is None:
        if method is None:
            raise UserError(
                "deepecg calibrate needs --method temperature, platt or isotonic to fit a "
                "calibration, or --apply FILE to use one."
            )
        _fit(predictions, method, bundle, out, as_json)
    else:
        if method is not None or bundle is not None:
            raise UserError("--apply uses a calibration as it is: leave out --method and --bundle.")
        _apply(apply, predictions, out, as_json)


def _fit(
    predictions: Path, method: MappingKind, bundle: Path | None, out: Path, as_json: bool
) -> None:
    from deepecg_jax.cli.console import console, err
    from deepecg_jax.errors import UserError
    from deepecg_jax.evaluation.calibration.recalibration import fit_recalibration, unfitted
    from deepecg_jax.evaluation.calibration.recalibration_file import write_recalibration
    from deepecg_jax.evaluation.table.predictions import read_predictions

    table = read_predictions(predictions)
    if not (table.labels >= 0).any():
        raise UserError(f"{predictions} has no known label, so there is nothing to fit.")
    fitted = fit_recalibration(
        table.labels, table.scores, table.names, method.value, predictions.name
    )
    if bundle is not None:
        from deepecg_jax.bundle.calibrated import store_calibration

        stored = store_calibration(bundle, fitted)
        if not as_json:
            console.print(f"stored in {stored}", markup=False)
    write_recalibration(out, fitted)
    kept = unfitted(fitted)
    for name, reason in kept.items():
        err.print(f"{name} keeps its scores: {reason}.", style="yellow", markup=False)
    for name, mapping in fitted["findings"].items():
        if mapping["method"] == "platt" and mapping["slope"] < 0:
            err.print(
                f"{name}: the slope is negative, so recalibration turns its ranking round.",
                style="yellow",
                markup=False,
            )
    if as_json:
        typer.echo(json.dumps(fitted, ensure_ascii=False))
        return
    console.print(
        f"{method.value} for {len(table.names) - len(kept)} of {len(table.names)} findings on "
        f"{len(table):,} ECGs written to {out}",
        markup=False,
    )


def _apply(calibration: Path, predictions: Path, out: Path, as_json: bool) -> None:
    from deepecg_jax.cli.console import console
    from deepecg_jax.errors import UserError
    from deepecg_jax.evaluation.calibration.recalibration_file import (
        read_recalibration,
        recalibrate_file,
    )

    if calibration.is_dir():
        from deepecg_jax.bundle.calibrated import load_calibration

        mapping = load_calibration(calibration)
        if mapping is None:
            raise UserError(
                f"{calibration} holds no calibration.json; make one with "
                "'deepecg calibrate VALIDATION.parquet --method platt --bundle BUNDLE'."
            )
    else:
        mapping = read_recalibration(calibration)
    names = recalibrate_file(mapping, predictions, out)
    if as_json:
        written = {"out": str(out), "method": mapping["method"], "findings": list(names)}
        typer.echo(json.dumps(written, ensure_ascii=False))
        return
    console.print(
        f"{len(names)} findings recalibrated in {out}; thresholds of the old scores no longer fit.",
        markup=False,
    )
