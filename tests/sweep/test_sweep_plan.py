"""Runs, grids and seeds become jobs: shared, with stable names, with baselines beside them."""

import re

import pytest
from sweeps import STAGES, plan_of, sweep_of

from deepecg_jax.config import FinetuneConfig, PretrainConfig
from deepecg_jax.errors import UserError
from deepecg_jax.resources import configs_dir
from deepecg_jax.sweep.planning.config import read_sweep
from deepecg_jax.sweep.planning.jobs import Plan
from deepecg_jax.sweep.planning.names import identity
from deepecg_jax.sweep.planning.plan import make_plan

SHARES = {"finetune.data.label_share": [0.1, 1.0]}


def names(plan: Plan, kind: str) -> list[str]:
    return [job.name for job in plan.jobs.values() if job.kind == kind]


def config_of(plan: Plan, run: str, **point) -> FinetuneConfig:
    rows = [row for row in plan.rows if row.run == run and {**row.point, **point} == row.point]
    config = plan.jobs[rows[0].job].config
    assert isinstance(config, FinetuneConfig)
    return config


def test_a_row_a_run_point_and_seed():
    plan = plan_of(runs={"a": {}, "b": {"finetune.mode": "linear"}}, grid=SHARES, seeds=[0, 5])
    own = [(r.run, r.point["finetune.data.label_share"], r.seed) for r in plan.rows[:8]]
    assert own == [(run, share, seed) for run in "ab" for share in (0.1, 1.0) for seed in (0, 5)]
    assert len({row.job for row in plan.rows[:8]}) == 8
    for row in plan.rows[:8]:
        config = plan.jobs[row.job].config
        assert (config.seed, config.data.label_share) == (row.seed, row.point[next(iter(SHARES))])


def test_runs_share_a_pretraining_unless_it_differs():
    runs = {"a": {}, "b": {"mode": "linear"}, "c": {"pretrain.seed": 1}, "d": {"pretrain": None}}
    plan = plan_of(runs=runs, seeds=[0, 1], baselines=False)
    assert len(names(plan, "pretrain")) == 2
    needs = {row.run: plan.jobs[row.job].needs for row in plan.rows}
    assert needs["a"] == needs["b"] != needs["c"] and needs["d"] is None
    start = config_of(plan, "a").init_from
    assert start == f"out/runs/{needs['a']}/pretrain"
    assert plan.jobs[str(needs["a"])].config.workdir == start
    assert config_of(plan, "d").init_from is None
    order = list(plan.jobs)
    assert all(
        job.needs is None or order.index(job.needs) < order.index(name)
        for name, job in plan.jobs.items()
    )


def test_names_are_readable_and_stay():
    runs = {"a": {}, "b": {"pretrain.objective.mask_share": 0.6}}
    plan = plan_of(runs=runs, grid=SHARES, baselines=False)
    assert all(
        re.fullmatch(r"pretrain-wcr-wcr-tiny-[0-9a-f]{8}", n) for n in names(plan, "pretrain")
    )
    assert re.fullmatch(r"b-label_share=0.1-seed0-[0-9a-f]{8}", names(plan, "finetune")[2])
    again = plan_of(
        "elsewhere",
        runs={"x": {}, "b": runs["b"], "a": {}},  # other runs beside them, another order
        grid={"finetune.data.label_share": [1.0, 0.1, 0.3]},
        set={"train.log_every": 7, "data.workers": 2, "mesh.fsdp": 1, "model.attention": "xla"},
        seeds=[1, 0],
        baselines=False,
    )
    assert set(plan.jobs) <= set(again.jobs)
    other = plan_of(runs=runs, grid=SHARES, set={"data.dir": "other"}, baselines=False)
    assert not set(plan.jobs) & set(other.jobs)


def test_what_a_name_stands_for():
    """The hash of what is not the default: changing it would repeat everybody's runs."""
    jobs = list(plan_of(baselines=False).jobs.values())
    config = jobs[0].config
    assert isinstance(config, PretrainConfig)
    assert identity(config) == identity(config.model_copy(update={"workdir": "x"})) == "fb5553eb"
    assert identity(config) != identity(config.model_copy(update={"seed": 1}))
    finetuning = jobs[1].config
    assert identity(finetuning, "one") != identity(finetuning, "another")


def test_shares_are_nested_where_they_differ():
    assert config_of(plan_of(grid=SHARES), "run").data.nested_shares
    assert config_of(
        plan_of(runs={"a": {"finetune.data.label_share": 0.1}}), "a"
    ).data.nested_shares
    assert not config_of(plan_of(set={"finetune.data.label_share": 0.1}), "run").data.nested_shares
    chosen = plan_of(grid=SHARES, set={"data.nested_shares": False})
    assert not config_of(chosen, "run").data.nested_shares
    pretraining = plan_of(grid=SHARES).jobs[names(plan_of(grid=SHARES), "pretrain")[0]].config
    assert not pretraining.data.nested_shares


def test_another_kind_of_encoder_is_fine_tuned_as_it_was_pretrained(monkeypatch):
    from toys import ToyConfig, ToyObjective

    from deepecg_jax.models.families import FAMILIES
    from deepecg_jax.objectives.kinds import OBJECTIVES

    monkeypatch.setitem(FAMILIES, "toy", ToyConfig)
    monkeypatch.setitem(OBJECTIVES, "mean", ToyObjective)
    toy = {
        "pretrain.model.kind": "toy",
        "pretrain.model.width": 16,
        "pretrain.objective.kind": "mean",
    }
    plan = plan_of(runs={"wcr": {}, "toy": toy})
    model = config_of(plan, "toy").model
    assert model is not None and (model.kind, model.width) == ("toy", 16)
    assert {row.run for row in plan.rows if row.baseline} == {
        *("scratch:wcr", "scratch:toy", "random:wcr", "random:toy", "age_sex")
    }
    assert config_of(plan, "random:toy").model == model


def test_baselines_have_the_shape_of_the_encoder_and_no_weights():
    recipe = {"finetune.feature_gradient": 0.0, "finetune.optimizer.group_factor": 0.1}
    plan = plan_of(set={"finetune.model.dropout": 0.3, **recipe}, runs={"a": {"train.steps": 5}})
    scratch, random = config_of(plan, "scratch:wcr"), config_of(plan, "random:wcr")
    for config in (scratch, random):
        model = config.model
        assert model is not None and config.init_from is None
        assert (model.width, model.model_dump()["dropout"]) == (96, 0.3)  # tiny; as fine-tuned
        assert config.train.steps == 400 and config.feature_gradient == 1.0
        assert config.optimizer.group_factor == 1.0
    assert (scratch.mode, random.mode) == ("full", "linear")
    assert random.train.ema_decay is None and random.schedule.warmup_steps == 0
    assert config_of(plan, "a").feature_gradient == 0.0
    kinds = {row.run: plan.jobs[row.job].kind for row in plan.rows}
    assert kinds["age_sex"] == "age_sex"


def test_baselines_of_probes_are_probes():
    probes = {"finetune.mode": "attention", "finetune.optimizer.learning_rate": 5e-3}
    plan = plan_of(set=probes)
    assert config_of(plan, "random:wcr").mode == "attention"
    assert config_of(plan, "random:wcr").optimizer.learning_rate == 5e-3
    assert config_of(plan, "scratch:wcr").head.kind == "attention"
    linear = plan_of(set={"finetune.mode": "linear", "finetune.optimizer.learning_rate": 5e-3})
    assert config_of(linear, "random:wcr").optimizer.learning_rate == 5e-3


def test_baselines_are_named_by_what_tells_them_apart():
    sizes = {"t": {}, "s": {"pretrain.model.size": "small"}}
    runs = {row.run for row in plan_of(runs=sizes).rows if row.baseline}
    assert runs >= {"scratch:wcr-tiny", "scratch:wcr-small"}
    layers = {"t": {}, "s": {"pretrain.model.layers": 1}}
    runs = {row.run for row in plan_of(runs=layers).rows if row.baseline}
    assert runs >= {"scratch:wcr-t", "scratch:wcr-s"}


def test_a_baseline_is_done_once_whatever_the_pretraining_and_not_beside_its_like():
    masks = {"pretrain.objective.mask_share": [0.3, 0.4, 0.5]}
    plan = plan_of(grid=masks)
    rows = [row for row in plan.rows if row.run == "scratch:wcr"]
    assert len(rows) == 3 and len({row.job for row in rows}) == 1
    scratch = plan_of(grid=masks, runs={"a": {}, "mine": {"pretrain": None}})
    assert len({row.job for row in scratch.rows if row.run == "mine"}) == 1
    like = plan_of(runs={"a": {}, "mine": {"pretrain": None, "finetune.model.size": "tiny"}})
    assert "scratch:wcr" not in {row.run for row in like.rows}
    assert set(like.jobs) == {row.job for row in like.rows} | set(names(like, "pretrain"))
    assert "random:wcr" in {row.run for row in like.rows}


def test_no_baselines_where_nothing_is_pretrained_or_none_are_wanted():
    assert not any(row.baseline for row in plan_of(runs={"a": {"pretrain": None}}).rows)
    assert not any(row.baseline for row in plan_of(baselines=False).rows)
    alone = plan_of(stages={"pretrain": STAGES["pretrain"]}, seeds=[0, 1])
    assert [
        (row.seed, plan_job.kind) for row in alone.rows for plan_job in [alone.jobs[row.job]]
    ] == [
        (0, "pretrain"),
        (1, "pretrain"),
    ]


def test_points_of_the_grid_may_be_left_out():
    grid = {"finetune.mode": ["full", "linear"], "finetune.data.label_share": [0.1, 1.0]}
    plan = plan_of(
        grid=grid, exclude=[{"finetune.mode": "linear", "finetune.data.label_share": 0.1}]
    )
    assert len({tuple(row.point.values()) for row in plan.rows}) == 3
    with pytest.raises(UserError, match="exclude leaves no point of the grid"):
        plan_of(grid={"finetune.mode": ["full"]}, exclude=[{"finetune.mode": "full"}])


FINETUNE = {"finetune": STAGES["finetune"]}
REFUSED = [
    (
        {"runs": {"a": {}, "b": {"finetune.train.stepz": 1}}},
        "^run 'b' of s.yaml, stage finetune .*unknown key 'train.stepz' .did you mean 'train.st",
    ),
    (
        {"runs": {"b": {"train.stepz": 1}}},
        "run 'b' of s.yaml: no stage has the key 'train.stepz' .did you mean 'train.steps'",
    ),
    ({"set": {"finetun.mode": "full"}}, "set of s.yaml: no stage has the key 'finetun.mode'"),
    ({"grid": {"modes": ["full"]}}, "grid of s.yaml: no stage has the key 'modes' .did you mean"),
    ({"runs": {"b": {"train.steps": 0}}}, "run 'b' of s.yaml, stage .*train.steps: .* or equal"),
    (
        {"grid": {"finetune.mode": ["linear", "fulll"]}},
        "run 'run' of s.yaml at mode=fulll, stage finetune .*mode: Input should be",
    ),
    ({"set": {"workdir": "x"}}, "workdir cannot be set, because the sweep gives every run"),
    ({"set": {"seed": 3}}, "the seed of stage finetune is given by seeds"),
    ({"grid": {"finetune.seed": [3]}}, "grid of s.yaml: the seed of stage finetune is given by"),
    ({"runs": {"b": {"init_from": "x"}}}, "run 'b' of s.yaml: finetune.init_from is its pretrain"),
    ({"runs": {"b": {"pretrain": None, "pretrain.seed": 1}}}, "because there is no pretrain here"),
    ({"runs": {"b": {"pretrain": "x"}}}, "run 'b' of s.yaml: pretrain can only be null"),
    (
        {"runs": {"b": {"data.label_share": 1.0}}, "grid": SHARES},
        "run 'b' of s.yaml gives finetune.data.label_share, and so does the grid",
    ),
    ({"reference": "c"}, "reference is 'c', which is no run; there are run, scratch:wcr, random"),
    ({"stages": {"finetune": "nowhere.yaml"}}, "there is no config file nowhere.yaml"),
    (
        {"stages": {"finetune": STAGES["pretrain"]}},
        "is a pretrain config, but stands at stages.finetune",
    ),
    (
        {"stages": FINETUNE, "set": {"init_from": "/nowhere"}},
        "run 'run' of s.yaml: init_from: /nowhere does not exist",
    ),
]


@pytest.mark.parametrize("values, message", REFUSED)
def test_what_does_not_fit_is_refused_before_anything_runs(values, message):
    with pytest.raises(UserError, match=message) as refused:
        plan_of(**values)
    assert "\n" not in str(refused.value)


def test_a_key_without_a_stage_goes_where_it_is_known():
    plan = plan_of(set={"train.steps": 9, "finetune.train.steps": 3, "data.mix.other": 0.2,
                        "finetune.data.mix": {}}, baselines=False)  # fmt: skip
    pretraining, finetuning = (job.config for job in plan.jobs.values())
    assert (pretraining.train.steps, finetuning.train.steps) == (9, 3)
    assert pretraining.data.mix == {"other": 0.2}


@pytest.mark.parametrize("file", sorted((configs_dir() / "sweeps").iterdir()), ids=lambda f: f.stem)
def test_shipped_sweeps_have_a_plan_and_a_run_book(file, tmp_path):
    plan = make_plan(read_sweep(str(file)), tmp_path / "out")
    assert len(plan.rows) >= 3 * len(plan.sweep.seeds) and plan.sweep.reference is not None
    assert not (tmp_path / "out").exists()
    head = file.read_text().split("stages:")[0]
    assert head.startswith("#") and f"deepecg sweep configs/sweeps/{file.name}" in head
    assert "hardware" in head


def test_the_sweep_is_what_was_written():
    assert sweep_of().stages.files() == STAGES
