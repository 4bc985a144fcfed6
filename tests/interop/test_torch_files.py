"""Files with weights: complete ones are read, all others refused in one sentence."""

import os
import pickle
import zipfile

import numpy as np
import pytest

from deepecg_jax.errors import UserError
from deepecg_jax.interop.checkpoint_files import read_checkpoint, require_float32

torch = pytest.importorskip("torch")


class Malicious:
    """Leaves a file where it was unpickled."""

    def __init__(self, path: str):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def module():
    return torch.nn.Sequential(
        torch.nn.Conv1d(3, 4, 3),
        torch.nn.BatchNorm1d(4),
        torch.nn.Sequential(torch.nn.Linear(5, 2)),
    )


@pytest.fixture
def state() -> dict:
    return {f"layer.{i}": torch.randn(50, 40, generator=torch.manual_seed(i)) for i in range(4)}


@pytest.mark.parametrize("old", [False, True])
def test_checkpoints_of_either_file_layout(tmp_path, state, old) -> None:
    path = tmp_path / "c.pt"
    content = {"model": state, "cfg": {"a": 1}, "best": np.float64(0.5), "n": np.int64(3)}
    torch.save(content, path, _use_new_zipfile_serialization=not old)
    found = read_checkpoint(path)
    assert found.config == {"a": 1}
    assert all((found.state[name] == value.numpy()).all() for name, value in state.items())


def test_plain_and_parallel_state_dicts(tmp_path, state) -> None:
    torch.save({f"module.{name}": value for name, value in state.items()}, tmp_path / "c.pt")
    assert read_checkpoint(tmp_path / "c.pt").state.keys() == state.keys()


def test_torchscript_archives_are_read_as_data(tmp_path, recwarn) -> None:
    original = module()
    path = tmp_path / "m.pt"
    torch.jit.script(original).save(str(path))
    recwarn.clear()  # PyTorch announces the end of TorchScript
    found = read_checkpoint(path).state
    expected = original.state_dict()
    assert found.keys() == expected.keys()
    assert all((found[name] == value.numpy()).all() for name, value in expected.items())


def test_a_whole_module_needs_trust(tmp_path) -> None:
    original = module()
    path = tmp_path / "m.pt"
    torch.save(original, path)
    with pytest.raises(UserError, match="could run code when loaded.*--trust-pickle"):
        read_checkpoint(path)
    found = read_checkpoint(path, trust_pickle=True).state
    assert found.keys() == original.state_dict().keys()


def test_malicious_files_do_nothing(tmp_path, state) -> None:
    trap = tmp_path / "trap"
    torch.save({"model": state, "extra": Malicious(str(trap))}, tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(pickle.dumps(Malicious(str(trap))))
    with zipfile.ZipFile(tmp_path / "c.pt", "w") as archive:  # the shape of a TorchScript archive
        archive.writestr("x/data.pkl", pickle.dumps(Malicious(str(trap)), protocol=2))
        archive.writestr("x/constants.pkl", b"")
    for name in "abc":
        with pytest.raises(UserError, match="run code|complete PyTorch file"):
            read_checkpoint(tmp_path / f"{name}.pt")
    assert not trap.exists()


def test_a_compressed_member_is_refused(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "c.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", b"\0" * 1_000_000)
        archive.writestr("x/constants.pkl", b"")
    with pytest.raises(UserError, match="is compressed"):
        read_checkpoint(tmp_path / "c.pt")


@pytest.mark.parametrize("kind", ["checkpoint", "torchscript"])
def test_damaged_files(tmp_path, state, kind, recwarn) -> None:
    """Cut at any place, or with bits flipped anywhere: refused, never read wrongly."""
    path = tmp_path / "c.pt"
    if kind == "checkpoint":
        torch.save({"model": state}, path)
    else:
        torch.jit.script(module()).save(str(path))
        recwarn.clear()
    whole = path.read_bytes()
    right = {name: value.tobytes() for name, value in read_checkpoint(path).state.items()}
    rng = np.random.default_rng(0)
    damaged = [whole[: int(n)] for n in rng.integers(0, len(whole), 40)]
    for place in rng.integers(0, len(whole), 160):
        part = bytearray(whole)
        part[place] ^= 1 << int(rng.integers(8))
        damaged.append(bytes(part))
    refused = 0
    for content in damaged:
        path.write_bytes(content)
        try:
            found = read_checkpoint(path).state
        except UserError as error:
            refused += 1
            assert str(path) in str(error) and "\n" not in str(error)
        else:  # the flipped bit lies in padding or in unused fields of the archive
            assert {name: value.tobytes() for name, value in found.items()} == right
    assert refused > 40


def test_half_precision_is_refused(tmp_path, state) -> None:
    torch.save({name: value.half() for name, value in state.items()}, tmp_path / "c.pt")
    with pytest.raises(UserError, match="4 of 4 tensors are float16"):
        require_float32(read_checkpoint(tmp_path / "c.pt"))
    torch.save({name: value.bfloat16() for name, value in state.items()}, tmp_path / "c.pt")
    with pytest.raises(UserError, match="bfloat16"):
        read_checkpoint(tmp_path / "c.pt")


def test_files_without_tensors(tmp_path) -> None:
    torch.save({"model": {"a": 1}}, tmp_path / "c.pt")
    with pytest.raises(UserError, match="holds no tensors"):
        read_checkpoint(tmp_path / "c.pt")
    torch.save([1, 2], tmp_path / "c.pt")
    with pytest.raises(UserError, match="holds a list"):
        read_checkpoint(tmp_path / "c.pt")
    with pytest.raises(UserError, match="does not exist"):
        read_checkpoint(tmp_path / "none.pt")
