"""Checkpoints with Orbax: asynchronous, atomic, restorable onto another mesh."""

from pathlib import Path
from typing import Any, cast

import jax
from orbax.checkpoint import v1 as ocp

from deepecg_jax.errors import StoppedBySignal, UserError
from deepecg_jax.models.families import encoder_config
from deepecg_jax.objectives import older
from deepecg_jax.signals.contract import SignalContract
from deepecg_jax.training.types import Metadata, State

LEAST_SHARE = 2**20
"""Bytes below which one of an array's copies is written by one device."""


def _replicas_share_large_arrays() -> ocp.Context:
    """Each copy of an array writes a part of it, if the parts are worth it.

    Orbax divides every array, and cutting one compiles a program for each shape: seconds at the
    first save, for a few kilobytes each.
    """
    context = ocp.Context()
    context.array.saving.min_slice_bytes_for_replica_parallel = LEAST_SHARE
    return context


class Checkpoints:
    """The checkpoints of one run; a context manager that waits for writes on leaving."""

    def __init__(self, folder: Path, keep: int, metadata: Metadata):
        """``metadata`` (config, signal contract) is stored with each checkpoint."""
        folder.mkdir(parents=True, exist_ok=True)
        self._metadata = metadata
        self._folder = folder
        with _replicas_share_large_arrays():
            self._checkpointer = ocp.training.Checkpointer(
                str(folder.resolve()),
                # when to save is the loop's decision; here every call saves
                save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(1),  # pyright: ignore[reportArgumentType]
                preservation_policy=ocp.training.preservation_policies.LatestN(keep),  # pyright: ignore[reportArgumentType]
            )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        expected = kind is None or issubclass(kind, (UserError, StoppedBySignal))
        # when another process was lost, a write that needs it would never end
        if expected or jax.process_count() == 1:
            self._checkpointer.close()

    def latest_step(self) -> int | None:
        """Step of the newest complete checkpoint."""
        latest = self._checkpointer.latest
        return None if latest is None else latest.step

    def save(self, step: int, state: State, position: dict[str, int]) -> None:
        """Begin to save; the data position goes with the state."""
        self._checkpointer.save_checkpointables_async(
            step,
            {"state": state},
            custom_metadata=cast(dict[str, Any], {**self._metadata, "position": position}),
        )

    def restore(self, abstract: State) -> tuple[State, dict[str, int]]:
        """The newest state, laid out as ``abstract`` says, and its data position.

        UserError when the checkpoint was made by another model or for another signal.
        """
        latest = self._checkpointer.latest
        if latest is None:
            raise UserError(f"there is no checkpoint in {self._folder}.")
        stored: Any = self._checkpointer.checkpointables_metadata(latest).custom_metadata or {}
        for name in ("signal", "model", "seed"):
            found = stored.get(name)
            if name == "signal" and found:  # an older one may lack keys, which have defaults
                found = SignalContract.from_dict(found, str(self._folder)).to_dict()
            own = self._metadata.get(name)
            if name == "model" and found and own:
                found, own = (encoder_config(values).identity() for values in (found, own))
            if found != own:
                raise UserError(
                    f"{self._folder} was written with another {name} ({found}) than "
                    f"this config has ({own}); use another workdir."
                )
        is_older = "objective" in self._metadata and "objective" not in stored
        wanted = older.older_layout(abstract) if is_older else abstract
        loaded = self._checkpointer.load_checkpointables(latest, {"state": wanted})["state"]
        return older.newer_layout(loaded, abstract) if is_older else loaded, stored["position"]
