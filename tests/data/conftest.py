"""Synthetic ECGs and a small source in PTB-XL's layout."""

from pathlib import Path

import numpy as np
import pytest
from ecg_sources import write_ptb_xl

from deepecg_jax.signals.synthetic.generate import generate


@pytest.fixture(scope="session")
def signals() -> np.ndarray:
    """(24, 2500, 12) millivolts at 250 Hz."""
    return generate(np.arange(24), seed=3).signal


@pytest.fixture
def ptb_xl_source(tmp_path: Path, signals: np.ndarray) -> Path:
    """24 ECGs in folds 1 to 10, the first of 1 (8, 9 and 10 have two each)."""
    return write_ptb_xl(tmp_path / "ptbxl", signals, list(range(1, 11)))
