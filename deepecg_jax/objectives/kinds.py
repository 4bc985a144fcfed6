"""The objectives of pretraining: the only place that names them.

A new one is a file or folder beside this one and a line in the table.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SerializeAsAny

from deepecg_jax.models.encoder import EncoderConfig
from deepecg_jax.objectives.cpc.config import CPCObjectiveConfig
from deepecg_jax.objectives.jepa.config import JEPAObjectiveConfig
from deepecg_jax.objectives.masked.config import MaskedObjectiveConfig
from deepecg_jax.objectives.objective import ObjectiveConfig
from deepecg_jax.objectives.sum import Name, SumSettings, Term
from deepecg_jax.objectives.views.config import ViewsObjectiveConfig
from deepecg_jax.objectives.wcr.config import WCRObjectiveConfig

OBJECTIVES: dict[str, type[ObjectiveConfig]] = {
    "wcr": WCRObjectiveConfig,
    "cpc": CPCObjectiveConfig,
    "views": ViewsObjectiveConfig,
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
    return OBJECTIVES[kind].model_validate(suited(values, encoder))


def suited(values: object, encoder: EncoderConfig | None) -> object:
    """A section with what it leaves open chosen to suit an encoder; whatever is no section of an
    objective stays as it is.
    """
    if encoder is None or not isinstance(values, Mapping):
        return values
    kind = values.get("kind", DEFAULT)
    known = isinstance(kind, str) and kind in OBJECTIVES
    return OBJECTIVES[kind].suited(values, encoder) if known else values


ObjectiveSection = Annotated[SerializeAsAny[ObjectiveConfig], BeforeValidator(objective_config)]
"""The section ``objective`` of a schema."""


class SumTerm(Term):
    """A term whose objective is one of the table."""

    objective: ObjectiveSection


class SumObjectiveConfig(SumSettings):
    """A weighted sum of objectives of the table."""

    terms: Mapping[Name, SumTerm] = Field(
        min_length=1, description="by name: weight (1) and objective, a section with its kind"
    )

    @classmethod
    def suited(cls, values: Mapping[str, Any], encoder: EncoderConfig) -> dict[str, Any]:
        """What each term leaves open, chosen to suit the encoder."""
        terms = values.get("terms")
        if not isinstance(terms, Mapping):
            return dict(values)
        return {
            **values,
            "terms": {
                name: {**term, "objective": suited(term["objective"], encoder)}
                if isinstance(term, Mapping) and "objective" in term
                else term
                for name, term in terms.items()
            },
        }


OBJECTIVES["sum"] = SumObjectiveConfig
