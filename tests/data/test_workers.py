"""Worker processes end with their block and with their parent, however that ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deepecg_jax.data.workers import worker_pool
from deepecg_jax.errors import UserError

# two workers say their process ids and then work for longer than the test waits
SCRIPT = """
import signal, sys
sys.path.append({folder!r})
import busy
from deepecg_jax.data.workers import worker_pool

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored
    with worker_pool(2, "killed") as pool:
        list(pool.map(busy.work, [{folder!r}] * 2))
"""
BUSY = """
import os, time
from pathlib import Path

def work(folder):
    Path(folder, f"{os.getpid()}.pid").touch()
    time.sleep(600)
"""
has_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@has_proc
@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_when_their_parent_is_gone(tmp_path, stop) -> None:
    (tmp_path / "busy.py").write_text(BUSY)
    (tmp_path / "script.py").write_text(SCRIPT.format(folder=str(tmp_path)))
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while len(workers := [int(file.stem) for file in tmp_path.glob("*.pid")]) < 2:
        assert parent.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    assert all(alive(pid) for pid in workers)
    os.kill(parent.pid, stop)
    parent.communicate(timeout=30)
    assert parent.returncode != 0
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = [pid for pid in workers if alive(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


def test_an_exception_in_the_block_stops_what_workers_do() -> None:
    started = time.monotonic()
    with pytest.raises(ZeroDivisionError), worker_pool(2, "killed") as pool:
        for _ in range(2):
            pool.submit(time.sleep, 300)
        pool.submit(time.sleep, 0)
        raise ZeroDivisionError
    assert time.monotonic() - started < 60


def test_a_killed_worker_is_told_in_the_callers_words() -> None:
    with pytest.raises(UserError, match="Give fewer"), worker_pool(1, "Give fewer files") as pool:
        pool.submit(os._exit, 9).result()


def test_workers_are_prepared_before_their_first_task(tmp_path) -> None:
    with worker_pool(1, "killed", os.chdir, (tmp_path,)) as pool:
        assert pool.submit(os.getcwd).result() == str(tmp_path.resolve())
        assert pool.submit(os.getenv, "OPENBLAS_NUM_THREADS").result() == "1"
    assert os.getcwd() != str(tmp_path.resolve())
