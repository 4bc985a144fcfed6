"""Speeds in words."""

import pytest

from deepecg_jax.speed import per_second


@pytest.mark.parametrize(
    ("rate", "words"),
    [(0.412, "0.41"), (3.0, "3"), (9.94, "9.9"), (9.96, "10"), (412.4, "412"), (12345, "12,345")],
)
def test_a_slow_machine_is_no_standstill(rate: float, words: str) -> None:
    assert per_second(rate, "ECG") == f"{words} ECG/s"
