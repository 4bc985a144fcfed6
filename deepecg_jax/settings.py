"""What every schema of settings shares: frozen, unknown keys forbidden."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(gt=0.0, le=1.0)]


class Settings(BaseModel):
    """Base of all schemas: of configs, encoders, objectives, heads."""

    model_config = ConfigDict(frozen=True, extra="forbid")
