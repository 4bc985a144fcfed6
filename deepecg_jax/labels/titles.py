"""Label columns in words: ``snomed:164889003`` is "atrial fibrillation"."""

from functools import cache

from deepecg_jax.labels import scp, snomed


@cache
def _titles() -> dict[str, str]:
    return {
        **{f"scp:{statement.name}": statement.description for statement in scp.statements()},
        **{
            f"{kind}:{statement.name}": statement.description
            for kind, names in scp.kinds().items()
            for statement in scp.statements()
            if statement.name in names
        },
        **{f"snomed:{code.code}": code.name for code in snomed.codes()},
    }


def title_of(label: str) -> str:
    """What a label column means, "" where its name says it already."""
    return _titles().get(label, "")
