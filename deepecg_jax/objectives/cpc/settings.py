"""Settings of CPC: how far ahead, against what, and on what scale."""

from typing import Annotated, Literal

from pydantic import Field

from deepecg_jax.errors import UserError
from deepecg_jax.objectives.objective import ObjectiveConfig

Horizon = Annotated[int, Field(ge=1)]


class CPCSettings(ObjectiveConfig):
    """CPC: a token of the context predicts the features some tokens later (InfoNCE)."""

    kind: str = "cpc"
    horizons: tuple[Horizon, ...] = Field(
        default=(14,),
        min_length=1,
        description="how many tokens ahead is predicted, each by a linear map of its own; what is "
        "a few tokens ahead of a stem with overlapping receptive fields is solved by copying",
    )
    negatives: int = Field(
        default=128, ge=1, description="negatives of a prediction, from the same ECG"
    )
    negatives_distance: int = Field(
        default=0, ge=0, description="tokens this near to the target are no negatives of it"
    )
    similarity: Literal["dot", "cosine"] = Field(
        default="dot", description="of a prediction and a feature; cosine suits temperature=0.1"
    )
    temperature: float = Field(default=1.0, gt=0, description="the similarity is divided by it")
    reduction: Literal["sum", "mean"] = Field(
        default="sum",
        description="over the predictions of an ECG; the sum is the published one, whose gradient "
        "grows with the tokens, so train.clip_norm must suit it or be null; the mean suits "
        "clipping and a sum of objectives",
    )
    cmsc_weight: float = Field(
        default=0.0,
        ge=0,
        description="on CMSC between the mean tokens of the two halves of an ECG",
    )
    cmsc_temperature: float = Field(default=0.1, gt=0)

    @property
    def columns(self) -> frozenset[str]:
        """CMSC's positives are patients."""
        return frozenset({"patient"} if self.cmsc_weight else ())

    def check_tokens(self, n_tokens: int) -> None:
        """UserError if some horizon has no target, or a target no negative, in so many tokens."""
        furthest = max(self.horizons)
        near = 2 * self.negatives_distance + 1
        needed = max(furthest + 1, near + 1)
        if n_tokens < needed:
            raise UserError(
                f"objective.kind=cpc with horizons={list(self.horizons)} and negatives_distance="
                f"{self.negatives_distance} needs {needed} tokens of an ECG, which has {n_tokens}; "
                "choose shorter horizons, or longer pieces (augment.crop_seconds)."
            )
