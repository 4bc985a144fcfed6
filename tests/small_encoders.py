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
    "net1d": {
        "size": "custom",
        "stem_width": 4,
        "stem_kernel": 3,
        "stages": [("basic", 6, 1, 3, 2), ("bottleneck", 8, 1, 4, 2, 4)],
        "width": 8,
    },
    "toy": {},
}
"""Sections ``model`` by kind."""

REFUSED: dict[str, set[str]] = {"wcr": {"efficientnet", "net1d"}, "mean": set()}
"""By objective: families that it refuses with a sentence, naming ``model.kind``."""
