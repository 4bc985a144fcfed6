"""The model card: the README.md of a bundle."""

from collections.abc import Mapping, Sequence
from typing import Any

from deepecg_jax.data.loading.protocol import EvaluationProtocol
from deepecg_jax.models.encoder import EncoderConfig
from deepecg_jax.signals.contract import SignalContract

_INTENDED_USE = """\
For research. This is not a medical device: it has not been cleared by any authority and must not
be used alone to diagnose, treat or triage a person. Measure it on your own patients, devices and
subgroups (`deepecg evaluate`) before drawing any conclusion."""


_SCALING = {
    "millivolt": "Microvolts, ADC counts or z-scores give wrong results.",
    "deepecg": "Scaled and cleaned batch by batch as by DeepECG "
    "(`deepecg_jax.signals.standard.deepecg.standardize`): plain millivolts give wrong results.",
    "fairseq": "Each lead a z-score over the whole recording, as by fairseq-signals "
    "(`deepecg_jax.signals.standard.fairseq`): plain millivolts give wrong results.",
}


def _filters(signal: SignalContract) -> str:
    if not signal.filters:
        return ""
    return (
        f" Without {' and '.join(signal.filters)}, which a site profile removes "
        "(`deepecg_jax.signals.standard.site_profile`)."
    )


def _head(head: Mapping[str, Any]) -> str:
    readout = head.get("readout", "mean")
    said = f" on the readout {readout}" if readout != "mean" else ""
    return f"{'a' if head['kind'] == 'linear' else 'an'} {head['kind']} head{said}"


def render(
    config: Mapping[str, Any],
    model: EncoderConfig,
    signal: SignalContract,
    labels: Sequence[str],
    thresholds: Mapping[str, float],
    metrics: Mapping[str, Any],
) -> str:
    """Markdown text from what the bundle's other files hold."""
    head = config["head"]
    kind = "ECG encoder" if head is None else f"ECG classifier with {len(labels)} labels"
    provenance = config["provenance"]
    sections = [
        f"# {kind} ({model.title})",
        model.summary[0].upper()
        + model.summary[1:]
        + ("." if head is None else f", and {_head(head)}.")
        + f" Made with deepecg_jax {config['deepecg_jax']}. Weights (SHA-256): "
        f"`{config['fingerprint']}`.",
        "## Input",
        f"Float arrays (records, time, {len(signal.leads)}), unit {signal.unit}, "
        f"{signal.sampling_rate:g} Hz, {signal.seconds:g} s "
        f"({signal.n_samples} samples), leads in this order: {' '.join(signal.leads)}. "
        f"A missing lead is zero, never NaN. {_SCALING[signal.scaling]}" + _filters(signal),
        "## Use",
        _usage(head is not None),
    ]
    if labels:
        sections += ["## Labels", _label_table(labels, thresholds)]
        protocol = EvaluationProtocol.model_validate(config["protocol"])
        sections[-1] += f" They, and the metrics, are of {protocol.in_words}."
    sections += ["## Metrics", _metric_table(metrics)]
    sections += ["## Provenance", _metric_table(provenance, "as recorded by whoever trained it")]
    licence = provenance.get("license") or provenance.get("licence")
    sections += [
        "## Licence",
        f"Weights: {licence}."
        if licence
        else "Weights: no licence was recorded; ask whoever made them, and mind the terms of the "
        "training data. The software deepecg_jax is Apache-2.0.",
        "## Intended use",
        _INTENDED_USE,
    ]
    return "\n\n".join(sections) + "\n"


def _usage(classifier: bool) -> str:
    call = (
        "probabilities = bundle.probabilities(signals)  # (N, labels), order of bundle.labels"
        if classifier
        else "tokens = bundle.encode(signals)  # (N, tokens, width)"
    )
    command = (
        "deepecg predict THIS_FOLDER --records FILE --out predictions.parquet"
        if classifier
        else "deepecg finetune configs/finetune/ptb_xl_superclass.yaml init_from=THIS_FOLDER"
    )
    return (
        "```python\nfrom deepecg_jax.bundle.bundle import load\n\n"
        f'bundle = load("THIS_FOLDER")\n{call}\n```\n\n'
        f"On the command line: `{command}`, and `deepecg export THIS_FOLDER --format torch --out "
        "DIR` for PyTorch."
    )


def _label_table(labels: Sequence[str], thresholds: Mapping[str, float]) -> str:
    rows = ["| # | label | threshold |", "|---|---|---|"]
    for i, name in enumerate(labels):
        threshold = f"{thresholds[name]:.4g}" if name in thresholds else "none"
        rows.append(f"| {i} | {_cell(name)} | {threshold} |")
    return "\n".join(rows) + (
        "\n\nA probability at or above the threshold is positive; thresholds come from validation "
        "data."
    )


def _metric_table(values: Mapping[str, Any], note: str = "") -> str:
    flat = list(_flatten(values))
    if not flat:
        return "None recorded."
    rows = [f"| name | {note or 'value'} |", "|---|---|"]
    rows += [f"| {_cell(name)} | {_cell(value)} |" for name, value in flat]
    return "\n".join(rows)


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Any:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        elif isinstance(value, float):
            yield f"{prefix}{key}", f"{value:.6g}"
        else:
            yield f"{prefix}{key}", str(value)


def _cell(text: Any) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")
