"""The schema of every training config: frozen, unknown keys forbidden, units in the descriptions.

Loading and overriding is in `deepecg_jax.config_files`.
"""

from typing import Literal, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from deepecg_jax.data.loading.config import DataConfig
from deepecg_jax.data.loading.protocol import EvaluationProtocol
from deepecg_jax.models.families import ModelConfig
from deepecg_jax.models.heads import HeadConfig
from deepecg_jax.models.readouts import check_readout
from deepecg_jax.objectives import older
from deepecg_jax.objectives.augmentation.config import LabelledViewConfig, ViewConfig
from deepecg_jax.objectives.config import CompatConfig, FinetuneCompatConfig, LossConfig
from deepecg_jax.objectives.kinds import ObjectiveSection, objective_config
from deepecg_jax.settings import Settings


class TrainConfig(Settings):
    """How long, how much at once, and what is written when."""

    steps: int = Field(ge=1, description="optimizer updates")
    global_batch: int = Field(ge=1, description="ECGs an update, over all devices")
    accumulation: int = Field(
        default=1,
        ge=1,
        description="parts an update's batch is computed in; a contrast of ECGs is within a part",
    )
    log_every: int = Field(default=50, ge=1, description="steps between lines of metrics.jsonl")
    checkpoint_every: int = Field(default=500, ge=1, description="steps between checkpoints")
    keep_checkpoints: int = Field(default=2, ge=1, description="newest checkpoints that are kept")
    compute_dtype: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="of activations; parameters, losses and statistics stay float32",
    )
    deterministic: bool = Field(
        default=False,
        description="GPU: only operations that sum in a fixed order, which is slower, so that a "
        "run repeats itself bit for bit; on CPU and TPU every run does",
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
    group_factor: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="learning rate of the encoder over that of the heads, and of its stem over "
        "that of its rest (0.1 in ECG-CPC); 1: one rate for all",
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
        default=1,
        ge=-1,
        description="devices that share the parameters and the batch; 0: a power of two that suits "
        "the devices (TPU: up to 16, GPU: those of a process)",
    )
    tensor: int = Field(default=1, ge=-1, description="devices that share each matrix product")
    slices: int = Field(
        default=0,
        ge=0,
        description="parts of the data axis that a slower network joins: TPU slices, or processes "
        "with GPUs; 0: as many as TPU slices are found",
    )
    split_moments: bool = Field(
        default=False,
        description="the optimizer's moments, and the moving average, are split over the data axis "
        "too (ZeRO stage 1), for memory and for less work in each update",
    )


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
    model: ModelConfig
    objective: ObjectiveSection
    augment: ViewConfig = Field(
        default=ViewConfig(), description="before the objective's own masks and cuts"
    )
    compat: CompatConfig = CompatConfig()

    @model_validator(mode="before")
    @classmethod
    def _older(cls, values: object) -> object:
        return older.pretraining_values(values) if isinstance(values, dict) else values

    @field_validator("objective", mode="before")
    @classmethod
    def _suits_the_encoder(cls, values: object, info: ValidationInfo) -> object:
        return objective_config(values, info.data.get("model"))

    @model_validator(mode="after")
    def _fits_the_encoder(self) -> Self:
        self.objective.check(self.model)
        self.model.check_batch(self.train.global_batch // self.train.accumulation)
        return self


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
        description="full: all weights; linear: frozen encoder, linear probe of what head.readout "
        "reads; attention: frozen encoder, attentive probe",
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
        default_factory=HeadConfig,
        description="mode=linear sets its kind, and so does mode=attention but for attention_pool",
    )
    loss: LossConfig = LossConfig()
    augment: LabelledViewConfig = Field(
        default=LabelledViewConfig(), description="mode=full and mode=attention"
    )
    stopping: StoppingConfig = StoppingConfig()
    evaluation: EvaluationProtocol = Field(
        default=EvaluationProtocol(),
        description="how an ECG is predicted: for stopping, for thresholds, and by `deepecg "
        "predict` of the bundle; mode=linear also learns from these crops",
    )
    feature_gradient: float = Field(
        default=1.0, ge=0, description="factor on the stem's gradient; the original freezes it (0)"
    )
    threshold_method: Literal["youden", "f1"] = Field(
        default="youden", description="how thresholds are fitted, on the validation split only"
    )
    compat: FinetuneCompatConfig = FinetuneCompatConfig()

    @model_validator(mode="before")
    @classmethod
    def _older(cls, values: object) -> object:
        return older.finetuning_values(values) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.init_from is None and self.model is None:
            raise ValueError("init_from is null (from scratch), so model must describe the encoder")
        if self.data.mix:
            raise ValueError("data.mix is for pretraining: other data sets carry other labels")
        if self.model is not None:
            self.model.check_batch(self.train.global_batch // self.train.accumulation)
        if self.mode == "linear" and self.head.kind != "linear":
            raise ValueError(
                f"mode=linear is a linear probe, but head.kind={self.head.kind}; choose "
                "mode=attention for an attentive probe of a frozen encoder"
            )
        if self.mode == "attention" and self.head.readout != "mean":
            raise ValueError(
                f"mode=attention looks at the tokens themselves, so head.readout="
                f"{self.head.readout} means nothing; leave it out, or choose mode=linear"
            )
        if self.model is not None and self.init_from is None and self.head.kind == "linear":
            check_readout(self.head.readout, self.model)
        if self.mode != "full" and self.feature_gradient != 1.0:
            raise ValueError(
                f"mode={self.mode} freezes the encoder, so feature_gradient="
                f"{self.feature_gradient:g} means nothing; leave it out, or choose mode=full"
            )
        return self

    def ignored(self) -> list[str]:
        """Dotted keys of settings that are not the defaults, and that ``mode`` has no use for."""
        if self.mode != "linear":
            return []
        found = [
            f"augment.{name}"
            for name, field in type(self.augment).model_fields.items()
            if getattr(self.augment, name) != field.default
        ]
        found += ["head.dropout"] if self.head.dropout else []
        found += ["train.compute_dtype"] if self.train.compute_dtype != "float32" else []
        return found


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
