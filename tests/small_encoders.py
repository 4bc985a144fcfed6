"""A small encoder of every family, and which objectives refuse which: what tests go through."""

from typing import Any

SMALL: dict[str, dict[str, Any]] = {
    "wcr": {"size": "tiny", "width": 16, "heads": 2, "layers": 2, "ffn_width": 24},
    "efficientnet": {
        "variant": "custom",
        "stem_width": 4,
        "width": 6,
        "stages": [("fused", 4, 1, 3, 2), ("mbconv", 6, 1, 5, 4, 2)],
    },
    "s4": {"size": "tiny", "width": 8, "state": 4, "direction": "bidirectional"},
    "toy": {},
}
"""Sections ``model`` by kind."""

REFUSED: dict[str, set[str]] = {"wcr": {"efficientnet"}, "mean": set()}
"""By objective: families that it refuses with a sentence, naming ``model.kind``."""
