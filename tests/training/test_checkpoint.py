"""A checkpoint belongs to one signal contract, also when a later version of it has more keys."""

import dataclasses

import jax.numpy as jnp
import pytest

from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import SignalContract
from deepecg_jax.training.checkpoint import Checkpoints

STATE = {"weight": jnp.arange(4.0)}


def write(folder, signal) -> None:
    with Checkpoints(folder, 1, {"signal": signal, "seed": 0}) as saved:
        saved.save(1, STATE, {"next": 1})


def read(folder, contract):
    with Checkpoints(folder, 1, {"signal": contract.to_dict(), "seed": 0}) as saved:
        return saved.restore(STATE)


def test_a_contract_without_later_keys_has_their_defaults(tmp_path) -> None:
    older = SignalContract().to_dict()
    del older["filters"]
    write(tmp_path / "c", older)
    state, position = read(tmp_path / "c", SignalContract())
    assert position == {"next": 1} and (state["weight"] == STATE["weight"]).all()
    with pytest.raises(UserError, match="another signal"):
        read(tmp_path / "c", dataclasses.replace(SignalContract(), filters=("powerline",)))


def test_another_contract_is_refused(tmp_path) -> None:
    write(tmp_path / "c", dataclasses.replace(SignalContract(), scaling="deepecg").to_dict())
    with pytest.raises(UserError, match="another signal"):
        read(tmp_path / "c", SignalContract())
