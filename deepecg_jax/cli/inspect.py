"""``deepecg inspect``: what a data set holds, or what was understood of one ECG file."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from deepecg_jax.cli.console import console
from deepecg_jax.cli.summary_table import print_summary
from deepecg_jax.errors import UserError


def command(
    path: Annotated[Path, typer.Argument(help="DATA_DIR/NAME[/VERSION], or one ECG file.")],
) -> None:
    """Describe a built data set, or read one ECG file, draw it, and say what was understood."""
    if path.is_dir():
        _dataset(path)
    elif path.is_file() or path.with_name(path.name + ".hea").is_file():
        _recording(path)
    else:
        raise UserError(f"{path} is neither a folder nor an ECG file.")


def _dataset(path: Path) -> None:
    from deepecg_jax.data.index import read_rejects
    from deepecg_jax.data.shards import dataset_folder, open_split
    from deepecg_jax.data.summary import SUMMARY_FILE, read_json

    path = path.resolve()
    if (path / "dataset_info.json").is_file():
        path, version = path.parent, path.name
    else:
        version = None
    folder = dataset_folder(path.parent, path.name, version)
    summary = read_json(folder / SUMMARY_FILE)
    # Opening checks the shards against index, labels and contract.
    opened = [open_split(path.parent, path.name, split, folder.name) for split in summary["splits"]]
    print_summary(summary, folder)
    contract = opened[0].contract
    console.print(
        f"signal: {contract.n_samples} samples ({contract.seconds:g} s at "
        f"{contract.sampling_rate:g} Hz) x {' '.join(contract.leads)}, {contract.unit} after "
        f"conversion, scaling {contract.scaling}",
        highlight=False,
    )
    rejects = read_rejects(folder)
    if rejects.num_rows:
        table = Table("path", "reason", title="first rejects", title_justify="left")
        for row in rejects.slice(0, 5).to_pylist():
            table.add_row(escape(row["path"]), escape(f"{row['reason']}: {row['message']}"))
        console.print(table)


def _recording(path: Path) -> None:
    from deepecg_jax.signals.draw import ecg_svg
    from deepecg_jax.signals.readers import read
    from deepecg_jax.signals.recording import SignalError
    from deepecg_jax.signals.standardize import standardize

    try:
        recording = read(path)
    except SignalError as error:
        raise UserError(
            f"{path} cannot be used ({error.stage}, {error.reason}): {error}"
        ) from error
    rows = {
        "record": recording.record_id,
        "leads": ", ".join(recording.leads),
        "recorded": f"{recording.seconds:.4g} s at {recording.sampling_rate:g} Hz",
        "age": "unknown" if recording.age != recording.age else f"{recording.age:g} years",
        "sex": recording.sex,
    }
    comments = recording.meta.get("comments", {})
    rows |= {key: str(value) for key, value in comments.items() if key not in rows}
    try:
        window = standardize(recording)[0]
    except SignalError as error:
        console.print(_two_columns(str(path), rows))
        raise UserError(
            f"{path} was read but cannot be used ({error.stage}, {error.reason}): {error}"
        ) from error
    low, high = float(window.signal.min()), float(window.signal.max())
    rows["standardised"] = f"12 leads x 10 s at 250 Hz, {low:.2f} to {high:.2f} mV"
    rows |= {
        name.replace("_", " "): f"{value:.4g}" if isinstance(value, float) else str(value)
        for name, value in window.quality.items()
    }
    svg = Path(f"{recording.record_id or path.stem}.svg")
    title = f"{recording.record_id}  {rows['age']}  {rows['sex']}"
    drawing = ecg_svg(window.signal, 250.0, title=title, lead_mask=window.lead_mask)
    try:
        svg.write_text(drawing, encoding="utf-8")
    except OSError as error:
        raise UserError(f"The drawing {svg.resolve()} cannot be written: {error}.") from error
    console.print(_two_columns(str(path), rows))
    console.print(f"drawn in {svg.resolve()}", soft_wrap=True, highlight=False)


def _two_columns(title: str, rows: dict[str, str]) -> Table:
    table = Table(title=escape(title), title_justify="left", show_header=False)
    for name, value in rows.items():
        table.add_row(escape(name), escape(value))
    return table
