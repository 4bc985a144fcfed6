"""Which shards a training reads: the section ``data`` of its config."""

from pydantic import Field, model_validator

from deepecg_jax.settings import Settings, Share


class DataConfig(Settings):
    """Which shards are read."""

    dir: str = Field(default="runs/data", description="folder that holds the data sets (DATA_DIR)")
    dataset: str = Field(description="name of the data set in that folder, such as ptb_xl")
    mix: dict[str, float] = Field(
        default_factory=dict,
        description="further data sets and their share of the ECGs drawn (pretraining only), "
        "such as {synthetic: 0.3}",
    )
    train_split: str = Field(default="train", description="split that is learned from")
    validation_split: str = Field(
        default="validation", description="split for stopping and thresholds"
    )
    label_share: Share = Field(
        default=1.0,
        description="share of the training patients used, chosen by `seed` (label efficiency)",
    )
    nested_shares: bool = Field(
        default=False,
        description="the patients of a smaller label_share are among those of a larger one with "
        "the same `seed`, as a learning curve needs; false: each share is drawn anew",
    )
    where: tuple[str, ...] = Field(
        default=(),
        description="conditions on quality measures or metadata that every ECG read must fulfil, "
        "such as ['seconds >= 10', 'noise < 0.1']; the columns of quality.parquet, age, sex, fold; "
        "'any superclass:*' asks for a label that is present",
    )
    cache_gb: float = Field(
        default=4.0, ge=0, description="a split is held in memory if it needs at most this many GB"
    )
    read_threads: int = Field(
        default=4,
        ge=1,
        description="threads that read ahead of the step, each a whole batch; with workers, the "
        "threads in each of them that share a batch (more help where storage answers slowly)",
    )
    workers: int = Field(
        default=0,
        ge=0,
        description="processes that read and decode shards for each training process, 0 for none; "
        "the batches stay the same to the bit, each process takes the memory of two of them, and "
        "a split in memory (cache_gb) needs none",
    )

    @model_validator(mode="after")
    def _mix_shares(self) -> "DataConfig":
        if any(share <= 0 for share in self.mix.values()) or sum(self.mix.values()) >= 1:
            raise ValueError("the shares of mix must be positive and sum to less than 1")
        return self
