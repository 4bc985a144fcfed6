"""The bundle: one folder with everything that is needed to use a model again, or to refuse it.

``model.safetensors``, ``config.json``, ``signal.json``, ``labels.json``, ``thresholds.json``,
``metrics.json`` and ``README.md`` (the model card); after pretraining also
``pretraining.safetensors``, the heads of its objective, which only a continued pretraining needs.
Written whole or not at all, loaded whole or not at all.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from deepecg_jax import __version__
from deepecg_jax.bundle import model_card, weights
from deepecg_jax.bundle.applied import Applied
from deepecg_jax.bundle.architecture import (
    HEAD,
    Architecture,
    HeadConfig,
    parse,
    pretraining_shapes,
)
from deepecg_jax.bundle.runner import Runner
from deepecg_jax.data.loading.protocol import WHOLE, EvaluationProtocol
from deepecg_jax.errors import UserError
from deepecg_jax.files import read_json, whole_folder, write_json
from deepecg_jax.models.encoder import Encoder, EncoderConfig
from deepecg_jax.models.heads import Classifier
from deepecg_jax.objectives import older
from deepecg_jax.objectives.kinds import ObjectiveSection
from deepecg_jax.objectives.objective import ObjectiveConfig
from deepecg_jax.signals.contract import SignalContract
from deepecg_jax.signals.contract import load as load_contract

SCHEMA = 1
OBJECTIVE: TypeAdapter[ObjectiveConfig] = TypeAdapter(ObjectiveSection)
_PROTOCOLS = TypeAdapter(EvaluationProtocol)
WEIGHTS, CONFIG, LABELS = "model.safetensors", "config.json", "labels.json"
PRETRAINING = "pretraining.safetensors"
PROTOCOL = "protocol"
THRESHOLDS, METRICS, CARD = "thresholds.json", "metrics.json", "README.md"


class Bundle(Applied):
    """A loaded bundle; see :func:`load`, and :class:`Applied` for what it does with signals.

    ``labels``: names in the order of the logits, empty for an encoder. ``signal``: the contract
    (its duration is what the model was made for; ``encode`` takes any T). ``thresholds``: by label,
    from validation data. ``metrics``, ``config``: what the JSON files hold. ``weights``: float32
    by dotted name. ``objective``: of its pretraining, or None; ``pretraining``: the weights of its
    heads, or None. ``protocol``: how ECGs are predicted, by which the thresholds were fitted.
    ``model``: the NNX module.
    """

    def __init__(
        self,
        folder: Path,
        architecture: Architecture,
        arrays: weights.Weights,
        signal: SignalContract,
        labels: tuple[str, ...],
        thresholds: dict[str, float],
        metrics: dict[str, Any],
        config: dict[str, Any],
        objective: ObjectiveConfig | None = None,
        pretraining: weights.Weights | None = None,
        protocol: EvaluationProtocol = WHOLE,
    ):
        self.folder = folder
        self.architecture = architecture
        self.weights = arrays
        self.signal = signal
        self.labels = labels
        self.thresholds = thresholds
        self.metrics = metrics
        self.config = config
        self.objective = objective
        self.pretraining = pretraining
        self.protocol = protocol
        self.model: Encoder | Classifier = architecture.module(arrays)
        self._runner = Runner(self.model, architecture.model, signal, str(folder))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the weights, as stored and checked."""
        return self.config["fingerprint"]

    @property
    def params(self) -> Any:
        """All parameters as the pure nested dict that :func:`save` takes, numpy float32."""
        return self.architecture.nested(self.weights)

    @property
    def encoder_params(self) -> Any:
        """The parameters of the encoder alone, to start another training from."""
        return self.params if self.architecture.head is None else self.params["encoder"]


def save(
    folder: str | Path,
    *,
    model: EncoderConfig,
    head: HeadConfig | Mapping[str, Any] | None,
    params: Mapping[Any, Any],
    labels: Sequence[str] | None,
    signal: SignalContract,
    thresholds: Mapping[str, float] | None = None,
    metrics: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    objective: ObjectiveConfig | None = None,
    pretraining: Mapping[Any, Any] | None = None,
    protocol: EvaluationProtocol = WHOLE,
) -> Path:
    """Write a bundle and return its folder; an older bundle there is replaced.

    model, head: the architecture; ``head=None`` for an encoder alone.
    params: pure nested dict of the module's parameters (``nnx.to_pure_dict``): of a `Classifier`
        (``encoder``, ``head``), or of an encoder where ``head`` is None.
    labels: names in the order of the logits; none for an encoder.
    thresholds: by label, from validation data only.
    metrics, provenance: JSON values for the record and the model card (data set, steps, ...).
    objective: what an encoder was pretrained with.
    pretraining: pure nested dict of the parameters of its heads, to continue from.
    protocol: of a classifier: crops and aggregation by which its thresholds and metrics were found.
    UserError if a tensor is missing, extra, mis-shaped or not finite, or a name does not fit.
    """
    if head is not None and not isinstance(head, HeadConfig):
        head = parse(HEAD, dict(head), "bundle head")
    names = _check_labels(list(labels or []), head, "bundle")
    thresholds = _check_thresholds(dict(thresholds or {}), names, "bundle thresholds")
    _check_signal(signal, model, "bundle")
    architecture = Architecture(model, head, len(names))
    arrays = weights.as_numpy(weights.flatten(params))
    weights.check(arrays, architecture.shapes(), "the parameters to save")
    weights.check_finite(arrays, "the parameters to save")
    further = None
    if pretraining is not None:
        further = weights.as_numpy(weights.flatten(pretraining))
        if objective is None:
            raise ValueError("the parameters of heads are useless without their objective")
        shapes = pretraining_shapes(objective, model)
        weights.check(further, shapes, "the pretraining parameters to save")
    config = {
        "schema": SCHEMA,
        **architecture.to_dict(),
        "fingerprint": weights.fingerprint(arrays),
        "deepecg_jax": __version__,
        "provenance": dict(provenance or {}),
    }
    if head is not None:
        config[PROTOCOL] = protocol.model_dump(mode="json")
    if objective is not None:
        config["objective"] = objective.model_dump(mode="json")
    if further is not None:
        config["pretraining_fingerprint"] = weights.fingerprint(further)
    with whole_folder(folder, CONFIG) as part:
        weights.write(part / WEIGHTS, arrays)
        if further is not None:
            weights.write(part / PRETRAINING, further)
        write_json(part / CONFIG, config)
        signal.save(part)
        write_json(part / LABELS, list(names))
        write_json(part / THRESHOLDS, thresholds)
        write_json(part / METRICS, dict(metrics or {}))
        card = model_card.render(config, model, signal, names, thresholds, dict(metrics or {}))
        (part / CARD).write_text(card, encoding="utf-8")
    return Path(folder)


def find(path: str | Path) -> Path:
    """The bundle folder: ``path`` itself, or ``path/bundle`` of a finished run."""
    path = Path(path)
    for folder in (path, path / "bundle"):
        if (folder / CONFIG).is_file():
            return folder
    if not path.exists():
        raise UserError(f"{path} does not exist; give a bundle folder or a finished run.")
    if (path / "config.yaml").is_file():
        raise UserError(
            f"{path} is a run that has not finished (no bundle/); run its command again to its end."
        )
    raise UserError(f"{path} is not a bundle: there is no {CONFIG} in it or in its bundle/.")


def load(path: str | Path) -> Bundle:
    """Load a bundle folder, or the bundle of a finished run, completely or not at all.

    >>> bundle = de.load("bundle")
    >>> bundle.labels
    ('AF', 'LBBB', 'superclass:MI')
    >>> ecg = de.read("ecg.hea")
    >>> bundle.probabilities([ecg]).shape, bundle.embed(ecg.signal[None], sampling_rate=250).shape
    ((1, 3), (1, 16))

    UserError, one sentence, if a file is absent or damaged, the weights do not fit the
    architecture (every tensor listed) or their fingerprint, or a classifier lacks label names.
    """
    folder = find(path)
    config = read_json(folder / CONFIG, dict)
    if config.get("schema") != SCHEMA:
        raise UserError(
            f"{folder / CONFIG}: schema is {config.get('schema')!r}, this version reads {SCHEMA}."
        )
    where = str(folder / CONFIG)
    head = config.get("head")
    labels_path = folder / LABELS
    if head is not None and not labels_path.is_file():
        raise UserError(
            f"{folder} is a classifier without label names ({LABELS}); nobody could tell what its "
            "outputs mean."
        )
    names = read_json(labels_path, list) if labels_path.is_file() else []
    labels = _check_labels(names, head, str(labels_path))
    architecture = Architecture.from_dict(config, len(labels), where)
    signal = load_contract(folder)
    _check_signal(signal, architecture.model, str(folder))
    thresholds: dict[str, float] = {}
    if (folder / THRESHOLDS).is_file():
        values = read_json(folder / THRESHOLDS, dict)
        thresholds = _check_thresholds(values, labels, str(folder / THRESHOLDS))
    metrics = read_json(folder / METRICS, dict) if (folder / METRICS).is_file() else {}
    arrays = weights.read(folder / WEIGHTS)
    weights.check(arrays, architecture.shapes(), str(folder / WEIGHTS))
    _check_fingerprint(arrays, config.get("fingerprint"), folder / WEIGHTS)
    further, objective = None, None
    if config.get("objective") is not None:
        objective = parse(OBJECTIVE, config["objective"], f"{where}: objective")
    if (folder / PRETRAINING).is_file():
        further = weights.read(folder / PRETRAINING)
        if objective is None:
            objective = older.objective_of(config["model"], architecture.model)
        shapes = pretraining_shapes(objective, architecture.model)
        weights.check(further, shapes, str(folder / PRETRAINING))
        _check_fingerprint(further, config.get("pretraining_fingerprint"), folder / PRETRAINING)
    return Bundle(
        folder,
        architecture,
        arrays,
        signal,
        labels,
        thresholds,
        metrics,
        config,
        objective,
        further,
        protocol_of(config, where),
    )


def protocol_of(config: Mapping[str, Any], where: str) -> EvaluationProtocol:
    """The evaluation protocol that a ``config.json`` records; whole ECGs where it records none."""
    return parse(_PROTOCOLS, config.get(PROTOCOL, {}), f"{where}: {PROTOCOL}")


def _check_fingerprint(arrays: weights.Weights, stored: Any, path: Path) -> None:
    found = weights.fingerprint(arrays)
    if found != stored:
        raise UserError(
            f"{path} was changed after it was saved: its fingerprint is {found[:12]}..., {CONFIG} "
            f"says {str(stored)[:12]}...."
        )


def _check_labels(labels: list[Any], head: Any, where: str) -> tuple[str, ...]:
    if any(not isinstance(name, str) or not name for name in labels):
        raise UserError(f"{where}: every label needs a name, got {labels}.")
    doubled = sorted({name for name in labels if labels.count(name) > 1})
    if doubled:
        raise UserError(f"{where}: label names occur twice: {', '.join(doubled)}.")
    if head is not None and not labels:
        raise UserError(f"{where}: a classifier needs label names, but there are none.")
    if head is None and labels:
        raise UserError(f"{where}: an encoder without a head cannot have labels, got {labels}.")
    return tuple(labels)


def _check_thresholds(
    thresholds: dict[str, Any], labels: tuple[str, ...], where: str
) -> dict[str, float]:
    unknown = [name for name in thresholds if name not in labels]
    if unknown:
        raise UserError(f"{where}: {', '.join(unknown)} is not a label of this model.")
    for name, value in thresholds.items():
        number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if not number or not 0.0 <= value <= 1.0:
            raise UserError(f"{where}: {name} is {value!r}, but must be a number from 0 to 1.")
    return {name: float(value) for name, value in thresholds.items()}


def _check_signal(signal: SignalContract, model: EncoderConfig, where: str) -> None:
    if len(signal.leads) != model.leads:
        raise UserError(
            f"{where}: the signal contract has {len(signal.leads)} leads, the model {model.leads}."
        )
    if signal.unit != "mV":
        raise UserError(f"{where}: the unit of the signal contract is {signal.unit}, not mV.")
