"""The files that every exported folder carries beside the weights."""

import shutil
from pathlib import Path
from typing import Any

from deepecg_jax.bundle.bundle import CARD, CONFIG, LABELS, THRESHOLDS, Bundle
from deepecg_jax.files import write_json

MODEL_CARD = "MODEL_CARD.md"


def write(part: Path, bundle: Bundle, layout: str, fingerprint: str, usage: str) -> None:
    """``config.json``, ``signal.json``, ``labels.json``, ``thresholds.json`` if any, two texts.

    layout: what the weights' names and shapes are; fingerprint: of the weights in that layout.
    usage: the README.md of the folder; the bundle's own README becomes ``MODEL_CARD.md``.
    """
    config: dict[str, Any] = {
        **bundle.config,
        "layout": layout,
        "fingerprint": fingerprint,
        "bundle_fingerprint": bundle.fingerprint,
    }
    write_json(part / CONFIG, config)
    bundle.signal.save(part)
    write_json(part / LABELS, list(bundle.labels))
    if bundle.thresholds:
        write_json(part / THRESHOLDS, bundle.thresholds)
    (part / "README.md").write_text(usage, encoding="utf-8")
    if (bundle.folder / CARD).is_file():
        shutil.copyfile(bundle.folder / CARD, part / MODEL_CARD)


def describe_input(bundle: Bundle) -> str:
    """One paragraph on input and output, for a README."""
    signal = bundle.signal
    output = (
        f"logits, one column a name of `{LABELS}`; the sigmoid of a logit is a probability"
        if bundle.labels
        else "tokens (batch, tokens, width)"
    )
    if bundle.protocol.crop_seconds is not None:
        output += (
            f". `deepecg predict` takes {bundle.protocol.in_words}: cut the ECGs before this "
            "model and join its outputs after it, or the thresholds do not fit"
        )
    return (
        f"Input: float32 millivolts, {signal.sampling_rate:g} Hz, {signal.n_samples} samples, "
        f"leads {' '.join(signal.leads)}; a missing lead is zero. Output: {output}. "
        "`parity.json` says how far this model's outputs are from the original's on the same "
        "ECGs. Research only, not a medical device; see `MODEL_CARD.md`."
    )
