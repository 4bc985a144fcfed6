"""``deepecg sites``: a metric from site to site."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepecg_jax.cli.resampling_options import RESAMPLES, SEED, Cluster, Seed, Unit, resampling

if TYPE_CHECKING:
    from deepecg_jax.evaluation.sites.results import SitesResult


class Tau2Method(StrEnum):
    """How the variance between sites is estimated."""

    reml = "reml"
    paule_mandel = "paule_mandel"
    dersimonian_laird = "dersimonian_laird"


def command(
    predictions: Annotated[Path, typer.Argument(help="Parquet predictions with a site column.")],
    out: Annotated[Path, typer.Option(help="Folder for sites.json.")],
    metric: Annotated[str, typer.Option(help="auroc, auprc, sensitivity, ppv, ...")] = "auroc",
    site_column: Annotated[str, typer.Option(help="The column that names the site.")] = "site",
    finding: Annotated[
        list[str] | None, typer.Option(help="A finding; may be repeated. Default: all.")
    ] = None,
    thresholds: Annotated[
        Path | None, typer.Option(help="JSON finding -> threshold. Default: 0.5.")
    ] = None,
    method: Annotated[
        Tau2Method, typer.Option(help="Of the variance between sites.")
    ] = Tau2Method.reml,
    resamples: Annotated[int, typer.Option(min=10, help="Bootstrap resamples.")] = RESAMPLES,
    seed: Seed = SEED,
    cluster: Unit = Cluster.patient_id,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print sites.json instead of tables.")
    ] = False,
) -> None:
    """Measure stability across sites: each site, random effects, and without each site."""
    from deepecg_jax.cli.console import console
    from deepecg_jax.evaluation.discrimination.thresholds import Thresholds, read_thresholds
    from deepecg_jax.evaluation.sites.across import across_sites
    from deepecg_jax.evaluation.table.predictions import read_predictions
    from deepecg_jax.files import write_json

    result = across_sites(
        read_predictions(predictions),
        metric,
        site_column,
        finding,
        None if thresholds is None else Thresholds(read_thresholds(thresholds), thresholds.name),
        method.value,
        resampling(resamples, seed, cluster),
    )
    write_json(out / "sites.json", result, indent=1, strict=True)
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))
        return
    _print(result)
    console.print(str(out / "sites.json"), markup=False)


def _print(result: "SitesResult") -> None:
    from rich.table import Table

    from deepecg_jax.cli.console import console

    for name, part in result["findings"].items():
        table = Table(
            "", "ECGs", "positive", result["metric"], "weight", title=name, title_justify="left"
        )
        for row in part["figure"]:
            site = part["sites"].get(row["label"], {}) if row["kind"] == "site" else {}
            bounds = "" if row["low"] is None else f" [{row['low']:.3f}, {row['high']:.3f}]"
            weight = "" if row["weight"] is None else f"{100 * row['weight']:.0f} %"
            table.add_row(
                row["label"],
                f"{site['n']:,}" if site else "",
                f"{site['n_positive']:,}" if site else "",
                f"{row['value']:.3f}{bounds}",
                weight,
            )
        console.print(table)
        meta = part["random_effects"]
        if meta is not None and meta["i2"] is not None:
            console.print(
                f"I2 {100 * meta['i2']:.0f} %, tau2 {meta['tau2']:.4f} (logit), Q p "
                f"{meta['q_p']:.2g}",
                highlight=False,
            )
