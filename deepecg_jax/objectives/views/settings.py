"""Settings of the agreement of two views: which views, and what keeps them from being all alike."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from deepecg_jax.objectives.augmentation.config import ViewConfig
from deepecg_jax.objectives.objective import ObjectiveConfig, TeacherDecay

Width = Annotated[int, Field(ge=1)]


class ViewsSettings(ObjectiveConfig):
    """The mean tokens of two views of an ECG agree (CMSC, SimCLR, BYOL or SimDINO)."""

    kind: str = "views"
    method: Literal["cmsc", "simclr", "byol", "simdino"] = Field(
        default="cmsc",
        description="cmsc: contrast in which all ECGs of a patient are positives (CLOCS, Kiyasseh "
        "2021); simclr: contrast with all other views (Chen 2020); byol: prediction of an averaged "
        "copy's view (Grill 2020); simdino: its view without a predictor, spread out by the coding "
        "rate (Wu 2025)",
    )
    pair: Literal["halves", "changes"] = Field(
        default="halves",
        description="halves: the two halves of an ECG; changes: the whole ECG twice, told apart by "
        "view alone",
    )
    view: ViewConfig = Field(
        default=ViewConfig(), description="random changes of each view, drawn for it alone"
    )
    projection: tuple[Width, ...] = Field(
        default=(256, 128),
        description="widths of the layers of the projection that is compared; [] compares the mean "
        "tokens themselves, as CLOCS",
    )
    temperature: float = Field(default=0.1, gt=0, description="cmsc and simclr: of the cosines")
    predictor_width: int = Field(default=256, ge=1, description="byol: hidden layer of a predictor")
    teacher_start: float = Field(
        default=0.99, ge=0, le=1, description="byol and simdino: decay of the copy, first update"
    )
    teacher_end: float = Field(
        default=1.0, ge=0, le=1, description="byol and simdino: decay after the last, by a cosine"
    )
    coding_rate_weight: float = Field(
        default=0.1, gt=0, description="simdino: on the coding rate that keeps vectors apart"
    )
    coding_rate_precision: float = Field(
        default=0.05, gt=0, description="simdino: epsilon, to which vectors are coded"
    )

    @model_validator(mode="after")
    def _two_different_views(self) -> Self:
        if self.pair == "changes" and self.view == ViewConfig():
            raise ValueError(
                "pair=changes compares an ECG with itself unless view changes it, for example "
                "view.crop_seconds=5"
            )
        return self

    @property
    def columns(self) -> frozenset[str]:
        """CMSC's positives are patients."""
        return frozenset({"patient"} if self.method == "cmsc" else ())

    @property
    def whole(self) -> bool:
        """A half of a padded ECG may hold nothing."""
        return self.pair == "halves"

    @property
    def teacher(self) -> TeacherDecay | None:
        """BYOL and SimDINO look at an averaged copy of encoder and projection."""
        if self.method not in ("byol", "simdino"):
            return None
        return TeacherDecay(self.teacher_start, self.teacher_end, "cosine", heads=True)
