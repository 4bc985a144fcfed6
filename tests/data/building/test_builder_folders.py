"""Every builder stands in TFDS' folder form and says where its files are and on what terms."""

import pytest

from deepecg_jax.data.catalogue import builder_file, builder_names, load_builder_class
from deepecg_jax.data.options import COMMON_OPTIONS
from deepecg_jax.labels.findings import FINDINGS
from deepecg_jax.resources import builders_dir

NAMES = (
    "chapman_shaoxing",
    "cinc2021",
    "code15",
    "mimic_iv_ecg",
    "ptb",
    "ptb_xl",
    "synthetic",
    "table",
)


def test_the_builders() -> None:
    assert builder_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_builders_folder(name: str) -> None:
    folder = builder_file(name).parent
    readme = (folder / "README.md").read_text()
    assert "## Terms\n" in readme and f"deepecg build {name}" in readme
    assert (folder / "CITATIONS.bib").read_text().startswith("@")
    builder = load_builder_class(builder_file(name))
    assert bool(builder.MANUAL_DOWNLOAD_INSTRUCTIONS) == builder.NEEDS_SOURCE
    names = [option.name for option in builder.OPTIONS]
    assert len({*names, *(option.name for option in COMMON_OPTIONS)}) == len(names) + 10
    for option in names:
        if name != "table" or option in ("files", "labels", "shares", "sex_codes", "date_format"):
            assert option in readme, option
    labels = builder.label_names()
    assert len(set(labels)) == len(labels) and (labels or name == "table")
    if name != "synthetic":  # whose labels are what its generator draws
        assert all(":" in label or label in FINDINGS for label in labels)


def test_common_options_stand_in_the_readme_with_their_defaults():
    readme = (builders_dir() / "README.md").read_text()
    for option in COMMON_OPTIONS:
        default = f"`{option.default}`" if option.default else ""
        assert f"| `{option.name}` | {default} |".replace("|  |", "| |") in readme
        assert all(f"`{choice}`" in readme for choice in option.choices)
