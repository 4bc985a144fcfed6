"""What a chip costs an hour: an assumption that anybody can replace."""

from pathlib import Path

import yaml

from deepecg_jax.errors import UserError

SHIPPED = Path(__file__).with_name("prices.yaml")
_HOUR, _MILLION = 3600.0, 1e6


def read_prices(path: Path | None = None) -> dict[str, float]:
    """US dollars a chip and hour, by the chip's name, from YAML or JSON; None: the shipped ones."""
    file = path or SHIPPED
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))  # JSON is YAML
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(
            f"the prices in {file} cannot be read ({' '.join(str(error).split())})."
        ) from error
    numbers = isinstance(values, dict) and all(
        isinstance(price, int | float) and not isinstance(price, bool) and price >= 0
        for price in values.values()
    )
    if not numbers:
        raise UserError(
            f"{file} must hold a price in US dollars a chip and hour for each chip, such as "
            "`v5e: 1.20`."
        )
    return {str(chip): float(price) for chip, price in values.items()}


def per_million(price: float, chips: int, ecg_per_s: float) -> float:
    """US dollars for a million ECGs seen in training."""
    return price * chips / _HOUR / ecg_per_s * _MILLION
