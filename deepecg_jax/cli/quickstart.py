"""``deepecg quickstart``: the whole line of work on built-in synthetic ECGs, and a page of it."""

import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from deepecg_jax.cli.console import console

N_ECGS = 3000
RESAMPLES = 500
LINEAR_STEPS = 400


@dataclass(frozen=True)
class Comparison:
    """One way to get a classifier, and how the page calls it."""

    name: str
    title: str
    overrides: tuple[str, ...]


_LINEAR = (
    "mode=linear",
    f"train.steps={LINEAR_STEPS}",
    "train.global_batch=64",
    "train.ema_decay=null",
    "optimizer.learning_rate=5.0e-3",
    "schedule.warmup_steps=0",
)


def comparisons(encoder: Path) -> list[Comparison]:
    """Fine-tuned, from scratch, and linear probes of the pretrained and of a random encoder."""
    return [
        Comparison("finetuned", "pretrained, then fine-tuned", (f"init_from={encoder}",)),
        Comparison("scratch", "from scratch, all weights", ()),
        Comparison(
            "probe_pretrained",
            "linear probe of the pretrained encoder",
            (f"init_from={encoder}", *_LINEAR),
        ),
        Comparison("probe_random", "linear probe of a random encoder", _LINEAR),
    ]


def command(
    out: Annotated[Path, typer.Option(help="Folder for everything that is made.")] = Path(
        "quickstart"
    ),
) -> None:
    """Run the main job on synthetic ECGs: build, pretrain, fine-tune, compare, evaluate, export.

    Takes a few minutes on two CPU cores and ends with OUT/index.html. Run again, it continues
    where it was stopped.
    """
    import jax

    from deepecg_jax.bundle import bundle as bundles
    from deepecg_jax.cli.predict import split_to_file
    from deepecg_jax.cli.quickstart_page import Outcome, write_page
    from deepecg_jax.config import FinetuneConfig, PretrainConfig
    from deepecg_jax.config_files import load_config
    from deepecg_jax.data.building.build import build
    from deepecg_jax.evaluation.discrimination.thresholds import Thresholds
    from deepecg_jax.evaluation.evaluate import evaluate, write_metrics
    from deepecg_jax.evaluation.report.page import write_report
    from deepecg_jax.evaluation.resampling.resampling import Resampling
    from deepecg_jax.evaluation.table.predictions import read_predictions
    from deepecg_jax.interop.torch_export import export_torch
    from deepecg_jax.training.finetune import finetune
    from deepecg_jax.training.pretrain import pretrain

    start = time.perf_counter()
    # four classifiers share most of their programs, and a second run shares all of them
    jax.config.update("jax_compilation_cache_dir", str((out / "xla-cache").resolve()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)

    def stage(number: int, text: str) -> None:
        gone = time.perf_counter() - start
        console.print(f"[bold]{number}/6 {text}[/bold]  [dim]{gone:.0f} s[/dim]")

    stage(1, f"building {N_ECGS:,} synthetic ECGs")
    data_dir = out / "data"
    build("synthetic", data_dir, None, workers=2, options={"n": str(N_ECGS)})

    stage(2, "pretraining without labels")
    where = [f"data.dir={data_dir}"]
    pretraining = load_config(
        PretrainConfig, "configs/quickstart/pretrain.yaml", [*where, f"workdir={out / 'pretrain'}"]
    )
    encoder = pretrain(pretraining, console)

    stage(3, "fine-tuning and comparing")
    results: dict[str, Outcome] = {}
    for comparison in comparisons(encoder):
        console.print(f"[bold]{comparison.title}[/bold]")
        workdir = out / comparison.name
        overrides = [*where, f"workdir={workdir}", *comparison.overrides]
        config = load_config(FinetuneConfig, "configs/quickstart/finetune.yaml", overrides)
        finetune(config, console)

    stage(4, "predicting and evaluating the test split")
    for comparison in comparisons(encoder):
        folder = out / comparison.name
        loaded = bundles.load(folder / "bundle")
        table_file = folder / "predictions.parquet"
        split_to_file(loaded, (data_dir, "synthetic", "test"), table_file)
        table = read_predictions(table_file)
        limits = Thresholds(loaded.thresholds, "thresholds.json of the bundle (validation data)")
        metrics = evaluate(table, limits, Resampling(RESAMPLES))
        write_metrics(metrics, folder / "evaluation" / "metrics.json")
        write_report(table, metrics, folder / "evaluation" / "report.html", comparison.title)
        results[comparison.name] = Outcome(comparison.title, metrics)
        auroc = metrics["macro"]["auroc"]
        console.print(
            f"  {comparison.title}: macro AUROC {auroc['value']:.3f} "
            f"[{auroc['low']:.3f}, {auroc['high']:.3f}]".replace("[", r"\[")
        )

    stage(5, "exporting to PyTorch")
    has_torch = find_spec("torch") is not None
    parity = export_torch(out / "finetuned" / "bundle", out / "torch", verify=has_torch)
    if has_torch:
        note = f"PyTorch gives the same logits to {parity['max_abs_difference']:.1e}"
    else:
        note = (
            "PyTorch is not installed here, so the exported model was not compared; "
            "`pip install torch` and `deepecg export` do that"
        )
    console.print(f"  {note}")

    stage(6, "writing the page")
    page = write_page(out, pretraining, results, note)
    console.print(f"done in {time.perf_counter() - start:.0f} s: open [bold]{page}[/bold]")
