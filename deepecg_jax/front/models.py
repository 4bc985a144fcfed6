"""Bundles applied to whatever holds ECGs: `predict`."""

import warnings
from collections.abc import Sequence
from pathlib import Path

from deepecg_jax.bundle import bundle as bundles
from deepecg_jax.bundle.bundle import Bundle
from deepecg_jax.bundle.predict import predict_records, predict_split
from deepecg_jax.data.loading.protocol import EvaluationProtocol
from deepecg_jax.data.shards.split import Split
from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.table.predictions import Predictions, write_predictions
from deepecg_jax.signals.recording import Recording
from deepecg_jax.signals.standard import site_profile as site_profiles

Ecg = str | Path | Recording


def predict(
    bundle: str | Path | Bundle,
    ecgs: Split | Ecg | Sequence[Ecg],
    *,
    out: str | Path | None = None,
    convert: bool = False,
    where: Sequence[str] = (),
    site_profile: str | Path | None = None,
    protocol: EvaluationProtocol | None = None,
    batch_size: int = 64,
) -> Predictions:
    """Scores of every label of a bundle: what ``deepecg predict`` writes, as a table.

    >>> table = de.predict("bundle", ["ecg.hea"])
    >>> table.record_id.tolist(), table.names
    (['ecg'], ('AF', 'LBBB', 'superclass:MI'))
    >>> table = de.predict("bundle", de.open_split("data", "synthetic", "test"), out="p.parquet")
    >>> table.scores.shape == (len(table), len(table.names))
    True

    Args:
        bundle: a classifier's folder, a finished run, or what `load` gave.
        ecgs: a split of a data set, or recordings or the files that hold them.
        out: a Parquet file to write as well, for `evaluate` and others.
        convert: bring a data set's signals to the bundle's form where it expects another.
        where: of a split only ECGs that fulfil this, such as ``["noise < 0.1"]``.
        site_profile: of recordings, for a model of filtered ECGs: ``site_profile.json``.
        protocol: crops and their aggregation, if not those that the bundle was validated with.
        batch_size: ECGs computed at once.

    Returns:
        A row an ECG, in their order. A recording that cannot be used is left out with a warning
        that says why.

    Raises:
        UserError: signals of another form than the model's, no ECG that can be used, or an
            argument that does not go with these ECGs.
    """
    model = bundle if isinstance(bundle, Bundle) else bundles.load(bundle)
    if isinstance(ecgs, Split):
        if site_profile is not None:
            raise UserError("site_profile goes with recordings: shards are filtered when built.")
        predicted = predict_split(model, ecgs, batch_size, convert, where, protocol)
    else:
        if convert or where:
            raise UserError("convert and where go with a split; recordings are always converted.")
        records = [ecgs] if isinstance(ecgs, (str, Path, Recording)) else list(ecgs)
        profiles = None if site_profile is None else site_profiles.load(site_profile)
        predicted = predict_records(model, records, batch_size, profiles, protocol)
        for place, reason in predicted.left_out:
            warnings.warn(f"{place} was left out: {reason}", stacklevel=2)
    if out is not None:
        write_predictions(out, predicted.table)
    return predicted.table
