"""The schema of every training config: frozen, unknown keys forbidden, units in the descriptions.

Loading and overriding is in `deepecg_jax.config_files`.
"""

from typing import Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from deepecg_jax.data.loading.config import DataConfig
from deepecg_jax.models.efficientnet.config import EfficientNetConfig
from deepecg_jax.models.head_config import HeadConfig
from deepecg_jax.models.model_config import ModelConfig
from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.objectives.config import CompatConfig, LossConfig, WCRObjectiveConfig
from deepecg_jax.settings import Settings


class TrainConfig(Settings):
    """How long, how much at once, and what is written when."""

    steps: int = Field(ge=1, description="optimizer updates")
    global_batch: int = Field(ge=1, description="ECGs an update, over all devices")
    accumulation: int = Field(
        default=1,
        ge=1,
        description="parts an update's batch is computed in; CMSC contrasts within a part",
    )
    log_every: int = Field(default=50, ge=1, description="steps between lines of metrics.jsonl")
    checkpoint_every: int = Field(default=500, ge=1, description="steps between checkpoints")
    keep_checkpoints: int = Field(default=2, ge=1, description="newest checkpoints that are kept")
    compute_dtype: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="of activations; parameters, losses and statistics stay float32",
    )
    clip_norm: float | None = Field(
        default=1.0, gt=0, description="global gradient norm; null: no clipping"
    )
    ema_decay: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="exponential moving average of the weights; null: none",
    )


class OptimizerConfig(Settings):
    """AdamW (Loshchilov and Hutter 2019)."""

    kind: Literal["adamw"] = "adamw"
    learning_rate: float = Field(gt=0, description="peak")
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.98, ge=0, lt=1)
    epsilon: float = Field(default=1e-6, gt=0)
    weight_decay: float = Field(
        default=0.01, ge=0, description="decoupled, times the learning rate"
    )
    decay_all: bool = Field(
        default=True, description="decay biases and norms too (the original does), or only matrices"
    )


class ScheduleConfig(Settings):
    """Learning rate over steps."""

    kind: Literal["constant", "cosine", "linear"] = "cosine"
    warmup_steps: int = Field(default=0, ge=0, description="linear from 0 to the peak")
    final_share: float = Field(
        default=0.0, ge=0, le=1, description="cosine and linear: end over peak"
    )


class MeshConfig(Settings):
    """Devices along each axis; -1 in one place takes all that remain."""

    data: int = Field(
        default=-1, ge=-1, description="copies of the model, each with part of the batch"
    )
    fsdp: int = Field(
        default=1, ge=-1, description="devices that share the parameters and the batch"
    )
    tensor: int = Field(default=1, ge=-1, description="devices that share each matrix product")


class RunConfig(Settings):
    """What every training needs; a kind of training adds its own keys."""

    task: str
    seed: int = Field(default=0, ge=0, description="all randomness: weights, order, masks, noise")
    workdir: str = Field(description="run folder; the same command resumes in it")
    optimizer: OptimizerConfig
    schedule: ScheduleConfig
    train: TrainConfig
    mesh: MeshConfig

    @model_serializer(mode="wrap")
    def _in_reading_order(self, write: SerializerFunctionWrapHandler) -> dict[str, object]:
        """What is learned from what stands before how it is computed."""
        values: dict[str, object] = write(self)
        last = ("optimizer", "schedule", "train", "mesh", "compat")
        ordered = [*(key for key in values if key not in last), *(k for k in last if k in values)]
        return {key: values[key] for key in ordered}


class PretrainConfig(RunConfig):
    """``deepecg pretrain``."""

    task: Literal["pretrain"] = "pretrain"
    init_from: str | None = Field(
        default=None,
        description="a workdir or bundle to continue pretraining from, or null: from scratch",
    )
    data: DataConfig
    model: WCRConfig
    objective: WCRObjectiveConfig
    compat: CompatConfig = CompatConfig()

    @model_validator(mode="after")
    def _decoder(self) -> "PretrainConfig":
        if self.objective.reconstruction_weight and not self.model.lead_decoder:
            raise ValueError("objective.reconstruction_weight needs model.lead_decoder=true")
        return self


class AugmentConfig(Settings):
    """Random changes of the training ECGs, mode=full and mode=attention."""

    crop_seconds: float | None = Field(
        default=None, gt=0, description="length of a random piece, s; null: the whole ECG"
    )
    lead_masking: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="an ECG loses each lead with a probability up to twice this",
    )
    gain_deviation: float = Field(
        default=0.0, ge=0, description="standard deviation of the log of a random gain of each lead"
    )
    mixup: float = Field(
        default=0.0,
        ge=0,
        description="alpha of mixup (Zhang et al. 2018) on signals and labels; 0: none",
    )


class StoppingConfig(Settings):
    """Validation during fine-tuning: the weights with the best macro AUROC are kept."""

    evaluate_every: int = Field(default=100, ge=1, description="steps between validations")
    patience: int = Field(
        default=10, ge=1, description="validations without improvement after which training stops"
    )


class FinetuneConfig(RunConfig):
    """``deepecg finetune``."""

    task: Literal["finetune"] = "finetune"
    init_from: str | None = Field(
        default=None, description="a workdir or bundle with the encoder, or null: from scratch"
    )
    mode: Literal["full", "linear", "attention"] = Field(
        default="full",
        description="full: all weights; linear: frozen encoder, linear probe on mean-pooled "
        "tokens; attention: frozen encoder, attentive probe",
    )
    labels: tuple[str, ...] = Field(
        min_length=1, description="findings or label columns; a name ending in * takes all that fit"
    )
    data: DataConfig
    model: ModelConfig | None = Field(
        default=None,
        description="the encoder when init_from is null; otherwise the shape is read from there, "
        "and only what regularises or speeds up training (dropout, stochastic depth, remat, ...) "
        "is taken from here",
    )
    head: HeadConfig = Field(
        default_factory=HeadConfig, description="mode=linear and mode=attention set its kind"
    )
    loss: LossConfig = LossConfig()
    augment: AugmentConfig = AugmentConfig()
    stopping: StoppingConfig = StoppingConfig()
    feature_gradient: float = Field(
        default=1.0, ge=0, description="factor on the stem's gradient; the original freezes it (0)"
    )
    threshold_method: Literal["youden", "f1"] = Field(
        default="youden", description="how thresholds are fitted, on the validation split only"
    )
    compat: CompatConfig = CompatConfig()

    @model_validator(mode="after")
    def _encoder(self) -> "FinetuneConfig":
        if self.init_from is None and self.model is None:
            raise ValueError("init_from is null (from scratch), so model must describe the encoder")
        if self.data.mix:
            raise ValueError("data.mix is for pretraining: other data sets carry other labels")
        if isinstance(self.model, EfficientNetConfig):
            part = self.train.global_batch // self.train.accumulation
            if part % self.model.norm_groups:
                raise ValueError(
                    f"model.norm_groups={self.model.norm_groups} must divide train.global_batch / "
                    f"train.accumulation = {part}"
                )
        return self


class LabellerConfig(RunConfig):
    """``deepecg train-labeller``; the command's options fill it."""

    task: Literal["train-labeller"] = "train-labeller"
    workdir: str = Field(description="holds the checkpoints until the classifier is written")
    reports: str = Field(description="CSV or Parquet file")
    text: str = Field(description="its column of texts")
    labels: tuple[str, ...] = Field(min_length=1, description="the outputs, in their order")
    data_sha256: str = Field(description="of texts, labels and splits: other data are another run")
    init: str = Field(
        description="a Hugging Face folder, a config.json, or a named size from scratch"
    )
    vocab_size: int = Field(default=8000, ge=1, description="from scratch: most tokens")
    max_length: int = Field(default=512, ge=3, le=512, description="tokens of a text")
    stopping: StoppingConfig
    threshold_method: str = Field(default="f1", description="fitted on the validation split only")
    mesh: MeshConfig = MeshConfig()
