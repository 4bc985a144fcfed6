"""A checkpoint belongs to one signal contract, also when a later version of it has more keys."""

import dataclasses
import logging

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

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


def test_copies_of_a_small_array_are_written_by_one_device(tmp_path, mesh_of, caplog) -> None:
    """Otherwise the first save compiles a program for each shape that it cuts."""
    everywhere = NamedSharding(mesh_of(8), P())
    shapes = {f"weight{n}": jax.device_put(jnp.ones((8, n)), everywhere) for n in range(3, 7)}
    with caplog.at_level(logging.WARNING), jax.log_compiles():
        jax.jit(lambda x: x * 2)(shapes["weight3"])
        compiled = [row for row in caplog.messages if "Finished XLA compilation" in row]
        assert compiled, "compilations are seen"
        caplog.clear()
        with Checkpoints(tmp_path / "c", 1, {"seed": 0}) as saved:
            saved.save(1, shapes, {"next": 1})
    assert [row for row in caplog.messages if "Finished XLA compilation" in row] == []
