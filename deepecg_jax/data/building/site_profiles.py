"""Site profiles fitted over a sample of a source's ECGs, or of a data set that was built."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepecg_jax.data.records import Example, Plan
from deepecg_jax.data.shards.index import REBUILD, SUMMARY_FILE
from deepecg_jax.data.shards.split import dataset_folder, open_split
from deepecg_jax.errors import UserError
from deepecg_jax.files import read_json
from deepecg_jax.signals.contract import SignalContract, require_same
from deepecg_jax.signals.standard import site_profile
from deepecg_jax.signals.standard.site_profile import SiteProfiles
from deepecg_jax.signals.units import from_stored

if TYPE_CHECKING:
    from deepecg_jax.data.building.builder import EcgBuilder

SAMPLE, SEED = 1000, 0


def profile_of_dataset(
    data_dir: Path, name: str, version: str | None = None, sample: int = SAMPLE, seed: int = SEED
) -> SiteProfiles:
    """Fit the profiles of a built data set, over a sample of its training split.

    sample: at most so many ECGs, drawn by ``seed``; padded ones are left out.
    UserError for a data set that does not hold unfiltered millivolts.
    """
    splits = read_json(dataset_folder(data_dir, name, version) / SUMMARY_FILE, remedy=REBUILD)[
        "splits"
    ]
    split = open_split(
        data_dir, name, "train" if "train" in splits else next(iter(splits)), version
    )
    require_same(split.contract, SignalContract(), str(split.folder), "a source of site profiles")
    whole = np.flatnonzero(split.valid_samples == split.contract.n_samples)
    chosen = np.sort(np.random.default_rng(seed).permutation(whole)[:sample])
    rows = [split[int(position)] for position in chosen]
    return _fit(rows, {"source": str(split.folder), "split": split.name, "seed": seed})


def fitted_profile(builder: "EcgBuilder", plan: Plan, folder: Path) -> Path:
    """Fit a profile of a build's own source and save it in ``folder``; gives its file.

    The sample is of the planned training records; ECGs that are rejected or padded leave it.
    """
    records = plan.records[: builder.limit]
    training = [record for record in records if record.split == "train"] or list(records)
    order = np.random.default_rng(SEED).permutation(len(training))[:SAMPLE]
    chosen = [training[position] for position in sorted(order.tolist())]
    rows = [
        made.features
        for made in builder.examples(chosen, builder.plain_options())
        if isinstance(made, Example) and "padded" not in made.counts
    ]
    named = str(builder.source) if builder.source else builder.name
    profiles = _fit(rows, {"source": named, "split": "train", "seed": SEED})
    # Its name differs with its contents, and so does the request: shards of an interrupted build
    # with another profile are not taken for this one's.
    name = Path(site_profile.FILE_NAME)
    return profiles.save(folder.resolve() / f"{name.stem}-{profiles.fingerprint}{name.suffix}")


def _fit(rows: Sequence[Mapping[str, Any]], provenance: Mapping[str, Any]) -> SiteProfiles:
    if not rows:
        raise UserError(f"{provenance['source']} has no whole ECG to fit a site profile to.")
    return site_profile.fit(
        from_stored(np.stack([row["signal"] for row in rows])),
        np.stack([row["lead_mask"] for row in rows]),
        [row["site"] for row in rows],
        provenance,
    )
