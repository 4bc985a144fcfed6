"""In which order jobs start, and that one that fails stops no other."""

import io
import os
import signal
import threading
import time
from dataclasses import dataclass, field

import pytest
from rich.console import Console
from sweeps import plan_of

from deepecg_jax.errors import StoppedBySignal, UserError
from deepecg_jax.sweep.run import run_sweep, write_commands
from deepecg_jax.sweep.work.job_folder import JobFolder
from deepecg_jax.sweep.work.launchers import _shared
from deepecg_jax.sweep.work.lock import alone
from deepecg_jax.sweep.work.schedule import Schedule

RUNS = {"a": {}, "b": {"pretrain.seed": 1}, "c": {"pretrain": None}}


def finish(folder: JobFolder) -> None:
    (folder.workdir / "bundle").mkdir(parents=True, exist_ok=True)
    (folder.workdir / "bundle" / "config.json").write_text("{}")
    folder.predictions.write_text("")


@dataclass
class Fake:
    """Jobs that end after some looks at them."""

    codes: dict[str, int] = field(default_factory=dict)
    endless: bool = False
    ends_with_sweep: bool = True
    events: list[str] = field(default_factory=list)
    most: int = 0
    alive: int = 0

    def start(self, folder: JobFolder, place: int) -> "FakeJob":
        self.alive += 1
        self.most = max(self.most, self.alive)
        return FakeJob(self, folder)

    def started(self, name: str) -> None:
        self.events.append(f"+{name.partition('-seed')[0]}")

    def ended(self, name: str, reason: str | None) -> None:
        self.events.append(f"-{name.partition('-seed')[0]}: {reason}")


@dataclass
class FakeJob:
    of: Fake
    folder: JobFolder
    looks: int = 0
    stopped: bool = False

    def poll(self) -> int | None:
        self.looks += 1
        if self.stopped:
            return 3
        if self.of.endless or self.looks < 2:
            return None
        self.of.alive -= 1
        name = self.folder.job.name
        code = next((c for start, c in self.of.codes.items() if name.startswith(start)), 0)
        if code == 0:
            finish(self.folder)
        else:
            self.folder.log.write_text("error: it broke.\n")
        return code

    def stop(self) -> None:
        self.stopped = True

    def kill(self) -> None:
        self.stopped = True


def nothing(folder: JobFolder) -> None:
    folder.predictions.write_text("")


def test_a_pretraining_comes_before_what_needs_it(tmp_path):
    fake = Fake()
    plan = plan_of(tmp_path, runs=RUNS, baselines=False)
    Schedule(plan, fake, nothing, fake).run()
    started = [event[1:] for event in fake.events if event[0] == "+"]
    first, second = (name for name in plan.jobs if name.startswith("pretrain"))
    assert started == [first, "a", second, "b", "c"] and fake.most == 1
    again = Fake()
    Schedule(plan, again, nothing, again).run()
    assert again.events == []


def test_so_many_at_a_time_and_nothing_before_it_is_ready(tmp_path):
    fake = Fake()
    Schedule(plan_of(tmp_path, runs=RUNS, baselines=False), fake, nothing, fake, 2).run()
    started = [event[1:] for event in fake.events if event[0] == "+"]
    assert fake.most == 2 and all(name.startswith("pretrain") for name in started[:2])


def test_a_failure_stops_only_what_needs_it(tmp_path):
    plan = plan_of(tmp_path, runs=RUNS, baselines=False)
    first = next(iter(plan.jobs))
    fake = Fake(codes={first: 2})
    Schedule(plan, fake, nothing, fake).run()
    assert f"-{first}: it broke." in fake.events
    assert "+a" not in fake.events and "-b: None" in fake.events and "-c: None" in fake.events
    assert JobFolder.of(plan, first).failed() == "it broke."
    # the same again tries it again, and nothing else but what waits for it
    again = Fake()
    Schedule(plan, again, nothing, again).run()
    assert again.events == [f"+{first}", f"-{first}: None", "+a", "-a: None"]


def test_a_job_without_commands_fails_with_its_sentence(tmp_path):
    def refuse(folder: JobFolder) -> None:
        raise UserError("no age is known.")

    fake, plan = Fake(), plan_of(tmp_path)
    Schedule(plan, fake, refuse, fake).run()
    assert "-age_sex: no age is known." in fake.events
    fake = Fake()
    Schedule(plan, fake, nothing, fake).run()
    assert fake.events == ["+age_sex", "-age_sex: None"]


@pytest.mark.parametrize("here", [True, False])
def test_a_signal_stops_the_jobs_that_are_here(tmp_path, here):
    fake = Fake(endless=True, ends_with_sweep=here)
    plan = plan_of(tmp_path, runs=RUNS, baselines=False)
    before = signal.getsignal(signal.SIGTERM)

    def interrupt() -> None:
        while not fake.events:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=interrupt).start()
    with pytest.raises(StoppedBySignal, match="by SIGTERM; 5 of 5 jobs are not finished") as stop:
        Schedule(plan, fake, nothing, fake).run()
    assert ("1 stay in the queue or at work" in str(stop.value)) != here
    assert signal.getsignal(signal.SIGTERM) == before
    folder = JobFolder.of(plan, next(iter(plan.jobs)))
    assert folder.failed() is None and not folder.finished()


def test_a_second_sweep_is_refused_while_the_first_lives(tmp_path):
    plan, fake = plan_of(tmp_path, runs=RUNS, baselines=False), Fake()
    quiet = Console(file=io.StringIO())
    with (
        alone(tmp_path, "a sweep"),
        pytest.raises(UserError, match=f"a sweep of .* is running already .process {os.getpid()} "),
    ):
        run_sweep(plan, fake, quiet)
    with alone(tmp_path, "a sweep"), pytest.raises(UserError, match="is running already"):
        write_commands(plan)
    assert fake.events == [] and not (tmp_path / "runs").exists()


def test_gpus_are_shared_out():
    assert _shared("0,1,2,3", 2) == ["0,1", "2,3"]
    assert _shared("0,1,2", 2) == ["0", "1"]
    assert _shared("0", 2) == _shared(None, 2) == _shared("0,1", 1) == []
