"""Where a process stands among others, and what they settle; two real ones are in tests/system."""

import socket
import threading

import numpy as np
import pytest

from deepecg_jax.data.loading.batches import training_batches
from deepecg_jax.errors import UserError
from deepecg_jax.training.mesh import batch_rows, gathered, on_devices
from deepecg_jax.training.processes import hosts as processes
from deepecg_jax.training.processes.agreement import first_says, require_agreement, wait_for_all
from deepecg_jax.training.processes.hosts import Place, find_cluster, join


@pytest.mark.parametrize(
    "environment, cluster",
    [
        ({}, None),
        ({"SLURM_JOB_ID": "1", "SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, None),  # the batch script
        ({"SLURM_STEP_NUM_TASKS": "1"}, None),  # an interactive shell
        ({"SLURM_STEP_NUM_TASKS": "16"}, "Slurm"),
        ({"OMPI_COMM_WORLD_SIZE": "4"}, "Open MPI"),
        ({"TPU_WORKER_HOSTNAMES": "t1"}, None),
        ({"TPU_WORKER_HOSTNAMES": "t1,t2"}, "Cloud TPU"),
        ({"MEGASCALE_COORDINATOR_ADDRESS": "h"}, "Cloud TPU"),
    ],
)
def test_clusters_are_told_by_their_variables(environment, cluster, monkeypatch):
    monkeypatch.setattr(processes, "glob", lambda _: [])
    assert find_cluster(environment) == cluster


def test_a_tpu_vm_is_told_by_its_chips(monkeypatch):
    monkeypatch.setattr(processes, "glob", lambda pattern: [pattern])
    monkeypatch.setattr(processes, "find_spec", lambda _: object())
    assert find_cluster({}) == find_cluster({"JAX_PLATFORMS": ""}) == "Cloud TPU"
    assert find_cluster({"JAX_PLATFORMS": "cpu"}) is None


@pytest.mark.parametrize(
    "place, message",
    [
        (Place(processes=2), "belong together"),
        (Place(coordinator="h:1"), "belong together"),
        (Place("h", 2, 0), "--coordinator h has no port"),
        (Place("h:1", 2, 2), "--process-id 2 must be from 0 to 1"),
        (Place("h:1", 0, 0), "--processes 0 must be 1 or more"),
    ],
)
def test_a_place_that_cannot_be_is_refused(place, message, monkeypatch):
    monkeypatch.setattr(processes, "find_cluster", lambda _: None)
    with pytest.raises(UserError, match=message):
        join(place)


def test_a_port_in_use_is_refused(monkeypatch):
    monkeypatch.setattr(processes, "find_cluster", lambda _: None)
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"process 0 cannot open port {port} .*in use"):
            join(Place(f"localhost:{port}", 2, 0))


def test_alone_nothing_is_joined_and_all_agree(monkeypatch, mesh_of):
    monkeypatch.setattr(processes, "find_cluster", lambda _: "Slurm")
    assert join(Place(processes=1)) == 1
    assert first_says("x", [1]) == [1]
    require_agreement("the config", {"seed": 0}, "")
    wait_for_all("x")
    mesh = mesh_of(4, fsdp=2)
    whole = gathered(on_devices({"x": np.arange(8.0)}, mesh, 8), mesh)
    np.testing.assert_array_equal(whole["x"], np.arange(8.0))


def test_difference_from_the_first_process_is_named(monkeypatch):
    from deepecg_jax.training.processes import agreement

    monkeypatch.setattr(agreement, "first_says", lambda what, value: {"seed": 0, "a": [1]})
    with pytest.raises(UserError, match="the config of process 0 .*seed is 5 here and 0 there"):
        require_agreement("the config", {"seed": 5, "a": (1,)}, "start again")


def test_one_process_reads_every_row_once(mesh_of):
    for mesh in (mesh_of(1), mesh_of(8, data=2, fsdp=2, tensor=2)):
        np.testing.assert_array_equal(batch_rows(mesh, 8), np.arange(8))


def test_few_batches_are_read_ahead():
    """A batch of a large run is 40 MB: the buffer counts batches, not ECGs."""
    read, lock = [], threading.Lock()

    class Counting:
        def __len__(self):
            return 10_000

        def __getitem__(self, index):
            with lock:
                read.append(index)
            return {"id": index}

    batches = training_batches([Counting()], [1.0], 100, 0, threads=2)
    next(batches)
    for _ in range(20):  # let the threads run as far ahead as they may
        threading.Event().wait(0.02)
    assert 100 <= len(read) <= 600
