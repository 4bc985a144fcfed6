"""Masks that the original drew with stored seeds."""

import json

import numpy as np
import pytest
from oracles.span_mask_original import original_span_mask

pytestmark = pytest.mark.real


def test_every_stored_span_mask(shared) -> None:
    folder = shared / "golden" / "wcr"
    stored = np.load(folder / "mask_indices.npz")
    cases = json.loads((folder / "mask_indices.json").read_text())["cases"]
    for case in cases:
        mask = original_span_mask(
            tuple(case["shape"]),
            np.random.RandomState(case["numpy_seed"]),
            probability=case["mask_prob"],
            length=case["mask_length"],
            kind=case["mask_type"],
            other=case["mask_other"],
            least_spans=case["min_masks"],
            overlap=not case["no_overlap"],
            least_space=case["min_space"],
            valid_tokens=case["valid_lengths"],
        )
        np.testing.assert_array_equal(mask, stored[case["name"]], err_msg=case["name"])
    assert len(cases) == len(stored.files) == 9


def test_the_share_that_is_masked_falls_with_the_batch(shared) -> None:
    """Why training does not use it: the stored mean counts, within their standard errors."""
    stored = json.loads((shared / "golden/wcr/mask_indices.json").read_text())
    for rows in (16, 64, 256):
        rng = np.random.RandomState(0)
        counts = [original_span_mask((rows, 78), rng)[0].sum() for _ in range(40)]
        expected = stored["masked_tokens_per_row_by_batch_rows"][f"T78_B{rows}"]["mean"]
        assert np.mean(counts) == pytest.approx(expected, abs=3.0)
