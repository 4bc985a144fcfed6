"""``deepecg import``: other people's weights become a bundle, completely or not at all."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from flax import nnx

from deepecg_jax.bundle import bundle, weights
from deepecg_jax.errors import UserError
from deepecg_jax.files import read_json
from deepecg_jax.interop import torch_names, wcr_import
from deepecg_jax.interop.checkpoint_files import Checkpoint, read_checkpoint, require_float32
from deepecg_jax.interop.efficientnet_import import DEPLOYED_INPUT_SCALE, import_state
from deepecg_jax.labels.findings import FINDINGS
from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.objectives.pretrainer import Pretrainer
from deepecg_jax.signals.contract import SignalContract

CONTRACTS: dict[str, SignalContract] = {
    "deepecg": SignalContract(),
    "ecg-fm": SignalContract(sampling_rate=500.0, seconds=5.0, scaling="fairseq"),
}
"""Signal contracts of published models: millivolts at 250 Hz, 10 s; z-scores at 500 Hz, 5 s."""
DEEPECG_LABELS = "deepecg77"


def import_wcr(
    path: str | Path,
    out: str | Path,
    signal: SignalContract | str | None = None,
    labels: str | Path | None = None,
    config: str | Path | None = None,
) -> bundle.Bundle:
    """A WCR checkpoint (pretrained, or a fine-tuned classifier) to a bundle; returns it loaded.

    Args:
        path: ``.pt`` of fairseq-signals or ``.safetensors`` with the same names.
        out: the bundle folder.
        signal: contract the model was trained with; see :func:`choose_contract`.
        labels: names of a classifier's outputs; see :func:`read_labels`.
        config: JSON with the model's config where the file has none; a ``config.json`` beside a
            ``.safetensors`` file is taken without asking.

    Raises UserError, and writes nothing, if the file is damaged, a tensor is missing, extra,
    mis-shaped or not float32, or anything about the model stays unknown.
    """
    checkpoint = read_checkpoint(path)
    require_float32(checkpoint)
    stored, origin = _model_config(checkpoint, config)
    where = str(checkpoint.path)
    found = wcr_import.infer(checkpoint.state, stored, where)
    architecture = found.architecture
    names = read_labels(labels, architecture.n_labels, where)
    contract = choose_contract(signal, checkpoint, architecture.model.leads)
    pretraining = None
    model, objective = architecture.model, found.objective
    if objective is not None:
        assert isinstance(model, WCRConfig)  # `infer` makes no other
        links = torch_names.pretrainer_links(model, objective)
        module = nnx.eval_shape(lambda: Pretrainer(model, objective, jax.random.key(0)))
        like = nnx.to_pure_dict(nnx.split(module)[1])
        shapes = {name: tuple(leaf.shape) for name, leaf in weights.flatten(like).items()}
        arrays = torch_names.to_jax(found.state, links, shapes, where)
        whole = weights.nest(arrays, like)
        params, pretraining = whole["encoder"], whole["heads"]
    else:
        # fine-tuned checkpoints drop the mask embedding, which only pretraining uses
        arrays = torch_names.to_jax(
            found.state,
            torch_names.links_of(architecture),
            architecture.shapes(),
            where,
            absent=("encoder.mask_emb", "mask_emb"),
        )
        params = architecture.nested(arrays)
    provenance = {
        "task": "import",
        "kind": "wcr",
        "file": checkpoint.path.name,
        "config": origin,
        "tensors": len(checkpoint.state),
        "source_fingerprint": weights.fingerprint(dict(checkpoint.state)),
    }
    bundle.save(
        out,
        model=architecture.model,
        head=architecture.head,
        params=params,
        labels=names,
        signal=contract,
        provenance=provenance,
        objective=objective,
        pretraining=pretraining,
    )
    return bundle.load(out)


def import_efficientnet(
    path: str | Path,
    out: str | Path,
    input_scale: float = DEPLOYED_INPUT_SCALE,
    strides: Sequence[int] | None = None,
    signal: SignalContract | str | None = None,
    labels: str | Path | None = None,
    trust_pickle: bool = False,
) -> bundle.Bundle:
    """DeepECG-SL's EfficientNet to a bundle; returns it loaded.

    Args:
        path: a state dict (``.pt``, ``.safetensors``) or the TorchScript archive that DeepECG
            ships; with ``trust_pickle`` also a whole module saved with ``torch.save``.
        out: the bundle folder.
        input_scale: what millivolts are multiplied by before the network; the default is that of
            the published weights, which take counts of 4.8 uV.
        strides: of each run of equal blocks, where the tensors fit no named variant.
        signal, labels: as for `import_wcr`.

    Raises UserError as `import_wcr` does.
    """
    checkpoint = read_checkpoint(path, trust_pickle)
    require_float32(checkpoint)
    where = str(checkpoint.path)
    found = import_state(checkpoint.state, input_scale=input_scale, strides=strides, where=where)
    names = read_labels(labels, found.n_labels, where)
    provenance = {
        "task": "import",
        "kind": "efficientnet",
        "file": checkpoint.path.name,
        "tensors": len(checkpoint.state),
    }
    bundle.save(
        out,
        model=found.model,
        head=found.head,
        params=found.params,
        labels=names,
        signal=choose_contract(signal, checkpoint, found.model.leads),
        provenance=provenance,
    )
    return bundle.load(out)


def choose_contract(
    signal: SignalContract | str | None, checkpoint: Checkpoint, leads: int
) -> SignalContract:
    """The contract that was asked for, or what the checkpoint's task says, or DeepECG's.

    signal: a contract, a name of :data:`CONTRACTS`, or a ``signal.json``. Without it, a stored
        task config with ``normalize`` (z-scored inputs) or ``sample_rate`` 500 means ECG-FM's.
    """
    if isinstance(signal, SignalContract):
        contract = signal
    elif signal is not None and signal in CONTRACTS:
        contract = CONTRACTS[signal]
    elif signal is not None:
        path = Path(signal)
        if not path.is_file():
            raise UserError(
                f"the signal contract {signal!r} is neither one of {', '.join(CONTRACTS)} nor a "
                "JSON file."
            )
        contract = SignalContract.from_dict(read_json(path, dict), str(path))
    else:
        task = checkpoint.config.get("task")
        task = task if isinstance(task, Mapping) else {}
        published = task.get("normalize") or task.get("sample_rate") == 500
        contract = CONTRACTS["ecg-fm" if published else "deepecg"]
    if len(contract.leads) != leads:
        raise UserError(
            f"{checkpoint.path} takes {leads} leads, but its signal contract names "
            f"{len(contract.leads)}; give a signal.json with the right leads as --signal."
        )
    return contract


def read_labels(labels: str | Path | None, n_labels: int, where: str) -> list[str] | None:
    """Names of the outputs: ``deepecg77``, a JSON list, a text file with a name a line, or a CSV
    with a column ``name``, ``label`` or ``finding``. None for an encoder.

    UserError where a classifier has none, or their number does not fit.
    """
    if n_labels == 0:
        if labels is not None:
            raise UserError(f"{where} has no head, so it takes no labels.")
        return None
    if labels is None:
        hint = f" (its {n_labels} may be --labels {DEEPECG_LABELS})" if n_labels == 77 else ""
        raise UserError(
            f"{where} is a classifier with {n_labels} outputs and no names for them; give them "
            f"with --labels FILE{hint}."
        )
    names = list(FINDINGS) if str(labels) == DEEPECG_LABELS else _label_file(Path(labels))
    if len(names) != n_labels:
        raise UserError(f"{labels} names {len(names)} labels, but {where} has {n_labels} outputs.")
    return names


def _label_file(path: Path) -> list[str]:
    if not path.is_file():
        raise UserError(f"the label file {path} does not exist.")
    if path.suffix == ".json":
        return [str(name) for name in read_json(path, list)]
    lines = path.read_text(encoding="utf-8").splitlines()
    if path.suffix == ".csv":
        rows = list(csv.DictReader(lines))
        for column in ("name", "label", "finding"):
            if rows and column in rows[0]:
                return [row[column] for row in rows]
        raise UserError(f"{path} has no column name, label or finding.")
    return [line.strip() for line in lines if line.strip()]


def _model_config(checkpoint: Checkpoint, given: str | Path | None) -> tuple[dict[str, Any], str]:
    """The ``model`` section of the stored config, and where it came from."""
    if given is not None:
        return _section(read_json(Path(given), dict)), Path(given).name
    if checkpoint.config:
        return _section(checkpoint.config), "stored in the checkpoint"
    beside = checkpoint.path.with_name("config.json")
    if checkpoint.path.suffix == ".safetensors" and beside.is_file():
        return _section(read_json(beside, dict)), beside.name
    return {}, "none"


def _section(config: Mapping[str, Any]) -> dict[str, Any]:
    for name in ("model", "cfg"):
        if isinstance(config.get(name), Mapping):
            return dict(config[name])
    return dict(config)
