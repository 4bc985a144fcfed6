"""What a metric is: its names, how it is computed, and where it is shown."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from deepecg_jax.evaluation.resampling.bootstrap import Resampled

Place = Literal[
    "json",
    "head",
    "findings",
    "averages",
    "decisions",
    "terminal",
    "comparison",
    "groups",
    "group_figure",
    "gaps",
    "worst_group",
    "power",
    "optimism",
]
"""Where metrics are shown.

* ``json``: every finding and average of ``metrics.json``, ``comparison.json`` and its CSV, and what
  ``deepecg sites --metric`` knows;
* ``head``, ``findings``, ``averages``, ``decisions``: the figures at the head of ``report.html``,
  and the columns of its tables of findings, of categories, and of decisions at the threshold;
* ``terminal``: the columns that ``deepecg evaluate`` prints;
* ``comparison``: the columns of ``comparison.html`` beside the AUROC;
* ``groups``: every group of ``fairness`` in ``metrics.json``, with differences and ratios;
* ``group_figure``, ``gaps``, ``worst_group``: the figure of the groups, the tables of differences
  (page and terminal), and the sentence that names the worst group;
* ``power``: the smallest detectable gap;
* ``optimism``: what fitting a threshold on the reported data flatters.
"""


@dataclass(frozen=True)
class Metric:
    """One row of the table.

    Attributes:
        name: in JSON, and for ``--metric``.
        title: in a page.
        of: the sums and rankings of C findings in every row of a sweep -> (rows, C), NaN where the
            metric is undefined.
        higher_is_better: ``None`` where neither end is better.
        shown: place -> position there; equal positions keep the order of the table.
        short: in a terminal; as `title` if empty.
        group_name: in the JSON of groups, whose names are older; as `name` if empty.
        group_title: beside groups; as `title` if empty.
    """

    name: str
    title: str
    of: Callable[[Resampled], np.ndarray]
    higher_is_better: bool | None
    shown: Mapping[Place, float]
    short: str = ""
    group_name: str = ""
    group_title: str = ""

    @property
    def in_terminal(self) -> str:
        """The head of its column in a terminal."""
        return self.short or self.title

    @property
    def in_groups(self) -> str:
        """Its name in the JSON of groups."""
        return self.group_name or self.name

    @property
    def of_groups(self) -> str:
        """Its title beside groups."""
        return self.group_title or self.title

    @property
    def of_groups_in_text(self) -> str:
        """That title inside a sentence: a word begins small, an acronym does not."""
        title = self.of_groups
        return title if title[:2].isupper() else title[0].lower() + title[1:]
