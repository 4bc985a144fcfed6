"""What worker processes need, imported once by the server that forks them."""

import pandas  # noqa: F401  pyarrow imports it at its first array
from array_record.python.array_record_module import ArrayRecordWriter  # noqa: F401

from deepecg_jax.data.building import builder, examples  # noqa: F401
from deepecg_jax.data.staging import writing  # noqa: F401
