"""What the processes of jobs need, imported once by the server that forks them."""

from array_record.python.array_record_module import ArrayRecordReader  # noqa: F401

from deepecg_jax.bundle import predict  # noqa: F401
from deepecg_jax.training import finetune, pretrain  # noqa: F401
