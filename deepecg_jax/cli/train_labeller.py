"""``deepecg train-labeller``: labelled reports to a BERT classifier."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from deepecg_jax.config import LabellerConfig
    from deepecg_jax.labelling.training.data import LabelledReports


def command(
    reports: Annotated[Path, typer.Argument(help="CSV or Parquet with texts and label columns.")],
    text: Annotated[str, typer.Option(help="Column of report texts.")],
    labels: Annotated[str, typer.Option(help="Label columns: a,b or a pattern such as 'label:*'.")],
    out: Annotated[Path, typer.Option(help="Hugging Face folder to write.")],
    id_column: Annotated[str | None, typer.Option("--id", help="Column of unique ids.")] = None,
    patient: Annotated[
        str | None, typer.Option(help="Column of patients, none of whom is in two splits.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Column with train, validation or test. Default: by patient.")
    ] = None,
    shares: Annotated[str, typer.Option(help="Of the splits, without --split.")] = "80/10/10",
    labels_from: Annotated[
        Path | None,
        typer.Option(help="File with the label columns, joined by --id (as of deepecg label)."),
    ] = None,
    empty_is: Annotated[
        str, typer.Option(help="An empty label is: unknown (not learned from), or absent.")
    ] = "unknown",
    init: Annotated[
        str,
        typer.Option(
            help="A Hugging Face folder; or from scratch: tiny, mini, small, medium, "
            "base, or a config.json."
        ),
    ] = "mini",
    epochs: Annotated[float, typer.Option(help="Passes over the training reports.")] = 20.0,
    batch: Annotated[int, typer.Option(min=1, help="Reports an update.")] = 32,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak. Default: 3e-5 for a folder, 5e-4 from scratch.")
    ] = None,
    warmup: Annotated[float, typer.Option(help="Share of the updates that warm up.")] = 0.1,
    patience: Annotated[
        int, typer.Option(min=1, help="Validations (one an epoch) without improvement.")
    ] = 5,
    vocab_size: Annotated[int, typer.Option(min=1, help="From scratch: most tokens.")] = 8000,
    max_length: Annotated[int, typer.Option(min=3, max=512, help="Tokens of a text.")] = 512,
    threshold_method: Annotated[
        str, typer.Option(help="f1, youden, sensitivity=S or specificity=S, on validation.")
    ] = "f1",
    compute_dtype: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    seed: Annotated[int, typer.Option(min=0, help="All randomness.")] = 0,
    encoding: Annotated[str | None, typer.Option(help="Encoding of a CSV file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print metrics.json.")] = False,
) -> None:
    """Train a BERT classifier of reports; `deepecg label --method bert` and transformers read it.

    Interrupted, it resumes by the same command (checkpoints in OUT.training until it is written).
    """
    from deepecg_jax.cli.console import console, err
    from deepecg_jax.errors import UserError
    from deepecg_jax.evaluation.discrimination.thresholds import ThresholdMethod
    from deepecg_jax.labelling.bert.config import SIZES
    from deepecg_jax.labelling.training.data import Columns, read_labelled
    from deepecg_jax.labelling.training.train import train_labeller

    ThresholdMethod.parse(threshold_method)
    if empty_is not in ("unknown", "absent"):
        raise UserError(f"--empty-is is unknown or absent, not {empty_is!r}.")
    if not 0 < epochs < float("inf") or not 0 <= warmup < 1:
        raise UserError("--epochs is more than 0, and --warmup at least 0 and less than 1.")
    if not labels.replace(",", "").strip():
        raise UserError("--labels names no column; give a,b or 'label:*'.")
    # read_labelled puts names together again that hold commas
    wanted = tuple(labels.split(","))
    columns = Columns(text, wanted, id_column, patient, split, shares, empty_is)
    data = read_labelled(reports, columns, labels_from, encoding)
    shown = err if as_json else console
    _say_what_is_left_out(data, shown)
    course = Course(epochs, batch, warmup, patience)
    rate = learning_rate
    if rate is None:
        rate = 3e-5 if init not in SIZES and Path(init).is_dir() else 5e-4
    config = _config(
        seed=seed,
        workdir=f"{out}.training",
        reports=str(reports),
        text=text,
        labels=data.names,
        data_sha256=data.sha256(),
        init=init,
        vocab_size=vocab_size,
        max_length=max_length,
        threshold_method=threshold_method,
        optimizer={"learning_rate": rate, "beta2": 0.999, "epsilon": 1e-8, "decay_all": False},
        **course.sections(int((data.splits == "train").sum()), compute_dtype),
    )
    metrics = train_labeller(config, data, out, shown)
    if as_json:
        typer.echo((out / "metrics.json").read_text(encoding="utf-8"))
        return
    _print(metrics, out)


@dataclass(frozen=True)
class Course:
    """How long is learned, in passes over the training reports."""

    epochs: float
    batch: int
    warmup: float
    patience: int

    def sections(self, n_train: int, compute_dtype: str) -> dict[str, dict[str, Any]]:
        """The config's sections that count in steps: ``stopping``, ``schedule``, ``train``."""
        an_epoch = max(1, round(n_train / self.batch))
        steps = max(2, round(self.epochs * n_train / self.batch))
        warmup_steps = min(int(self.warmup * steps), steps - 1)
        return {
            "stopping": {"evaluate_every": an_epoch, "patience": self.patience},
            "schedule": {"kind": "linear", "warmup_steps": warmup_steps},
            "train": {
                "steps": steps,
                "global_batch": self.batch,
                "log_every": min(50, an_epoch),
                "checkpoint_every": an_epoch,
                "keep_checkpoints": 1,
                "compute_dtype": compute_dtype,
            },
        }


def _say_what_is_left_out(data: "LabelledReports", shown: "Console") -> None:
    if data.n_without_text or data.n_unlabelled:
        shown.print(
            f"[yellow]{data.n_without_text:,} reports have no text and {data.n_unlabelled:,} no "
            "known label; they are left out.[/yellow]"
        )
    if data.left_out:
        shown.print(
            f"left out, as not both present and absent in training: {', '.join(data.left_out)}",
            style="yellow",
            markup=False,
        )


def _config(**values: Any) -> "LabellerConfig":
    from pydantic import ValidationError

    from deepecg_jax.config import LabellerConfig
    from deepecg_jax.errors import UserError

    try:
        return LabellerConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][-1]).replace("_", "-")
        raise UserError(f"--{option}: {first['msg']}.") from error


def _print(metrics: dict[str, Any], out: Path) -> None:
    from rich.markup import escape
    from rich.table import Table

    from deepecg_jax.cli.console import console

    split = "test" if "test" in metrics else "validation"
    own = metrics[split]
    table = Table(title=f"{split}: {own['n_reports']:,} reports", title_justify="left")
    table.add_column("label", overflow="fold")
    columns = ("auroc", "f1", "precision", "recall", "threshold")
    for name in ("positive", *columns):
        table.add_column(name, justify="right")
    for name, row in own["labels"].items():
        values = ("" if row[key] is None else f"{row[key]:.3f}" for key in columns)
        table.add_row(escape(name), f"{row['n_positive']:,}", *values)
    console.print(table)
    console.print(
        f"micro F1 {own['micro']['f1']:.4f}, macro F1 {own['macro']['f1']:.4f}, macro AUROC "
        f"{own['macro']['auroc']:.4f}"
    )
    new = own.get("texts_not_in_training")
    if new:
        console.print(
            f"of these {new['n_reports']:,} with a text that no training report has: micro F1 "
            f"{new['micro']['f1']:.4f}"
        )
    missing = metrics["labels_without_fitted_threshold"]
    if missing:
        console.print(
            f"threshold 0.5, as nothing could be fitted on validation: {', '.join(missing)}",
            style="yellow",
            markup=False,
        )
    console.print(str(out), markup=False)
