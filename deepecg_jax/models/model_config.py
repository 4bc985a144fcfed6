"""The configuration of an encoder of any family, told apart by its ``kind``."""

from typing import Annotated, Any

from pydantic import Discriminator, Tag

from deepecg_jax.models.efficientnet.config import EfficientNetConfig
from deepecg_jax.models.wcr.config import WCRConfig

KINDS = ("wcr", "efficientnet")


def kind_of(values: Any) -> Any:
    """The ``kind`` of a configuration, given as such or as a dictionary (there: wcr if absent)."""
    return values.get("kind", "wcr") if isinstance(values, dict) else getattr(values, "kind", None)


ModelConfig = Annotated[
    Annotated[WCRConfig, Tag("wcr")] | Annotated[EfficientNetConfig, Tag("efficientnet")],
    Discriminator(
        kind_of,
        custom_error_type="unknown_kind",
        custom_error_message=f"kind must be {' or '.join(KINDS)}",
    ),
]
