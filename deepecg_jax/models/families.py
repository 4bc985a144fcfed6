"""The encoder families: the only place that names them.

A new one is a folder or file beside this one and a line in the table.
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, SerializeAsAny

from deepecg_jax.models.efficientnet.config import EfficientNetConfig
from deepecg_jax.models.encoder import EncoderConfig
from deepecg_jax.models.net1d.config import Net1DConfig
from deepecg_jax.models.s4.config import S4Config
from deepecg_jax.models.vit.config import ViTConfig
from deepecg_jax.models.wcr.config import WCRConfig

FAMILIES: dict[str, type[EncoderConfig]] = {
    "wcr": WCRConfig,
    "efficientnet": EfficientNetConfig,
    "vit": ViTConfig,
    "net1d": Net1DConfig,
    "s4": S4Config,
}
DEFAULT = "wcr"  # where a section names no kind, as the first files did


def family_of(values: Mapping[str, object]) -> type[EncoderConfig]:
    """The family that a section ``model`` names; ValueError for one that does not exist."""
    kind = values.get("kind", DEFAULT)
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise ValueError(f"kind={kind} is no family of encoders; there are {', '.join(FAMILIES)}")
    return FAMILIES[kind]


def encoder_config(values: object) -> EncoderConfig:
    """The configuration of an encoder from a section ``model`` of a config, a bundle or a
    checkpoint; ValueError (pydantic's, for its fields) if it describes none.

    Keys that older versions wrote there and that moved (``OLDER_FIELDS``) are left out.
    """
    if isinstance(values, EncoderConfig):
        return values
    if not isinstance(values, Mapping):
        raise ValueError(f"must be a section with kind ({', '.join(FAMILIES)})")
    family = family_of(values)
    kept = {name: value for name, value in values.items() if name not in family.OLDER_FIELDS}
    return family.model_validate(kept)


ModelConfig = Annotated[SerializeAsAny[EncoderConfig], BeforeValidator(encoder_config)]
"""The section ``model`` of a schema."""
