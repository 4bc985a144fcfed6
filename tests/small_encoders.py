"""A small encoder of every family, settings of objectives, and which refuse which: what tests go
through.
"""

from typing import Any

SMALL: dict[str, dict[str, Any]] = {
    "wcr": {"size": "tiny", "width": 16, "heads": 2, "layers": 2, "ffn_width": 24},
    "efficientnet": {
        "variant": "custom",
        "stem_width": 4,
        "width": 6,
        "stages": [("fused", 4, 1, 3, 2), ("mbconv", 6, 1, 5, 4, 2)],
    },
    "vit": {"size": "tiny", "width": 16, "heads": 2, "layers": 2, "patch_samples": 10},
    "net1d": {
        "size": "custom",
        "stem_width": 4,
        "stem_kernel": 3,
        "stages": [("basic", 6, 1, 3, 2), ("bottleneck", 8, 1, 4, 2, 4)],
        "width": 8,
    },
    "s4": {"size": "tiny", "width": 8, "state": 4, "direction": "causal"},
    "toy": {},
}
"""Sections ``model`` by kind."""

SMALL_OBJECTIVES: dict[str, dict[str, Any]] = {
    "sum": {
        "terms": {
            "halves": {"weight": 0.1, "objective": {"kind": "views", "projection": []}},
            "averaged": {"objective": {"kind": "views", "method": "byol", "projection": [8, 4]}},
        }
    },
}
"""Sections ``objective`` by kind, of those that need more than their kind."""

REFUSED: dict[str, set[str]] = {
    "wcr": {"efficientnet", "net1d"},
    "cpc": {"wcr", "efficientnet", "vit", "net1d", "toy"},
    "views": set(),
    "sum": set(),
    "jepa": {"efficientnet", "net1d"},
    "masked": set(),  # every encoder can do without leads
    "mean": set(),
}
"""By objective: families that it refuses with a sentence, naming ``model.kind``."""

QUICKEST: dict[str, str] = {
    objective: next(kind for kind in ("toy", *SMALL) if kind not in refused)
    for objective, refused in REFUSED.items()
}
"""By objective: the encoder that is tried with it where one has to do for all."""
