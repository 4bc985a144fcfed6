"""All that a sweep leaves for people and programs, written at any time."""

from deepecg_jax.sweep.planning.jobs import Plan
from deepecg_jax.sweep.results.outcomes import SweepResult
from deepecg_jax.sweep.results.page import write_page
from deepecg_jax.sweep.results.tables import write_tables


def write_sweep(plan: Plan, result: SweepResult) -> None:
    """Write ``table``, ``summary`` and ``index.html`` into the folder of the sweep.

    Raises:
        UserError: a file cannot be written.
    """
    write_tables(plan.folder, result)
    write_page(plan.folder, result, plan.sweep)
