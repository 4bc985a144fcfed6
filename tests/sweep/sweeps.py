"""Small sweeps for tests."""

from pathlib import Path
from typing import Any

import yaml

from deepecg_jax.sweep.planning.config import SweepConfig
from deepecg_jax.sweep.planning.jobs import Plan
from deepecg_jax.sweep.planning.plan import make_plan

STAGES = {
    "pretrain": "configs/pretrain/wcr_tiny.yaml",
    "finetune": "configs/finetune/ptb_xl_superclass.yaml",
}


def sweep_of(**values: Any) -> SweepConfig:
    """A sweep of both stages."""
    return SweepConfig.model_validate({"stages": STAGES, "seeds": [0], **values})


def plan_of(folder: Path | str = "out", **values: Any) -> Plan:
    """Its plan."""
    return make_plan(sweep_of(**values), Path(folder), "s.yaml")


def written(path: Path, values: dict[str, Any]) -> str:
    """A sweep file."""
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return str(path)
