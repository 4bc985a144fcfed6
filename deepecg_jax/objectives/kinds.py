"""The objectives of pretraining: the only place that names them.

A new one is a file or folder beside this one and a line in the table.
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, SerializeAsAny

from deepecg_jax.models.encoder import EncoderConfig
from deepecg_jax.objectives.jepa.config import JEPAObjectiveConfig
from deepecg_jax.objectives.masked.config import MaskedObjectiveConfig
from deepecg_jax.objectives.objective import ObjectiveConfig
from deepecg_jax.objectives.wcr.config import WCRObjectiveConfig

OBJECTIVES: dict[str, type[ObjectiveConfig]] = {
    "wcr": WCRObjectiveConfig,
    "jepa": JEPAObjectiveConfig,
    "masked": MaskedObjectiveConfig,
}
DEFAULT = "wcr"  # where a section names no kind, as the first files did


def objective_config(values: object, encoder: EncoderConfig | None = None) -> ObjectiveConfig:
    """The settings of an objective from a section ``objective`` of a config or a bundle.

    encoder: what is left open is chosen to suit it (sizes of heads); None: defaults.
    ValueError (pydantic's, for its fields) if the section describes no objective.
    """
    if isinstance(values, ObjectiveConfig):
        return values
    if not isinstance(values, Mapping):
        raise ValueError(f"must be a section with kind ({', '.join(OBJECTIVES)})")
    kind = values.get("kind", DEFAULT)
    if not isinstance(kind, str) or kind not in OBJECTIVES:
        raise ValueError(f"kind={kind} is no objective; there are {', '.join(OBJECTIVES)}")
    objective = OBJECTIVES[kind]
    given = values if encoder is None else objective.suited(values, encoder)
    return objective.model_validate(dict(given))


ObjectiveSection = Annotated[SerializeAsAny[ObjectiveConfig], BeforeValidator(objective_config)]
"""The section ``objective`` of a schema."""
