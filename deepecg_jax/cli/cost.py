"""``deepecg cost``: what a bundle costs to run on this machine."""

import json
from pathlib import Path
from typing import Annotated

import typer


def command(
    bundle: Annotated[Path, typer.Argument(help="A bundle, or a finished run.")],
    batch: Annotated[
        list[int] | None, typer.Option(help="ECGs computed at once: --batch 1 8 64")
    ] = None,
    more: Annotated[
        list[int] | None, typer.Argument(metavar="", hidden=True, show_default=False)
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Timed runs of each batch.")] = 30,
    out: Annotated[Path | None, typer.Option(help="Also write the figures as JSON.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure parameters, operations, latency, throughput, memory and energy of a bundle."""
    from rich.table import Table

    from deepecg_jax.bundle.cost import cost
    from deepecg_jax.cli.console import console
    from deepecg_jax.errors import UserError
    from deepecg_jax.files import write_json

    if more and not batch:
        raise UserError(f"{more[0]} is one argument too many; give batches after --batch.")
    given: list[int] = [*(batch or []), *(more or [])]
    sizes = list(dict.fromkeys(given)) or [1, 8, 64]
    result = cost(bundle, sizes, repeats)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_json(out, result)
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))
        return
    flops, memory = result["flops"], result["peak_memory"]
    counted = "unknown" if flops["xla"] is None else f"{flops['xla'] / 1e9:.3g}"
    products = "unknown" if flops["analytic"] is None else f"{flops['analytic'] / 1e9:.3g}"
    console.print(
        f"{result['parameters']:,} parameters, {products} GFLOP an ECG by the architecture, "
        f"{counted} by XLA; {result['device']} ({result['platform']}), peak "
        f"{memory['bytes'] / 1e6:,.0f} MB ({memory['source']})",
        markup=False,
        highlight=False,
    )
    table = Table("batch", "median", "p95", "ECG/s", "temporaries", "J/ECG")
    for size, part in result["batches"].items():
        planned, joules = part["program_bytes"], part["energy"]["joules_per_ecg"]
        table.add_row(
            size,
            f"{1e3 * part['latency_median_s']:.2f} ms",
            f"{1e3 * part['latency_p95_s']:.2f} ms",
            f"{part['ecg_per_s']:,.0f}",
            "–" if planned is None else f"{planned['temporaries'] / 1e6:,.1f} MB",
            "–" if joules is None else f"{joules:.3g}",
        )
    console.print(table)
    reason = next(iter(result["batches"].values()))["energy"]["reason"]
    if reason is not None:
        console.print(f"No energy: {reason}.", markup=False, highlight=False)
