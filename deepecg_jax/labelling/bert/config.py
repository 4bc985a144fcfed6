"""The shape of a BERT classifier, with the names of a Hugging Face ``config.json``."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from deepecg_jax.errors import UserError

Probability = Annotated[float, Field(ge=0.0, lt=1.0)]
Size = Annotated[int, Field(ge=1)]
Activation = Literal["gelu", "gelu_python", "gelu_new", "gelu_pytorch_tanh", "relu"]

# (layers, width) of the miniatures of Turc et al. 2019, and BERT base; 64 wide heads, FFN 4 x width
SIZES: dict[str, tuple[int, int]] = {
    "tiny": (2, 128),
    "mini": (4, 256),
    "small": (4, 512),
    "medium": (8, 512),
    "base": (12, 768),
}

# what would change the numbers, and the one value that is implemented; absent means that value
_ONLY: dict[str, Any] = {
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
    "pruned_heads": {},
}


class BertConfig(BaseModel):
    """BERT with a linear classifier on its pooled [CLS] token. Defaults are those of BERT base."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    vocab_size: Size = 30522
    hidden_size: Size = Field(default=768, description="width D")
    num_hidden_layers: Size = 12
    num_attention_heads: Size = 12
    intermediate_size: Size = Field(default=3072, description="width of the feed-forward block")
    hidden_act: Activation = "gelu"
    hidden_dropout_prob: Probability = 0.1
    attention_probs_dropout_prob: Probability = 0.1
    classifier_dropout: Probability | None = Field(
        default=None, description="before the classifier; null: hidden_dropout_prob"
    )
    max_position_embeddings: Size = 512
    type_vocab_size: Size = 2
    initializer_range: float = Field(default=0.02, gt=0)
    layer_norm_eps: float = Field(default=1e-12, gt=0)
    pad_token_id: int | None = Field(default=0, ge=0)
    labels: tuple[str, ...] = Field(min_length=1, description="name of each output")

    @model_validator(mode="after")
    def _fits(self) -> "BertConfig":
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"num_attention_heads={self.num_attention_heads} must divide "
                f"hidden_size={self.hidden_size}"
            )
        if len(set(self.labels)) < len(self.labels):
            twice = next(name for name in self.labels if self.labels.count(name) > 1)
            raise ValueError(f"the label {twice!r} stands twice")
        return self

    @classmethod
    def of_size(cls, size: str, vocab_size: int, labels: tuple[str, ...]) -> "BertConfig":
        """A named size of `SIZES` for a vocabulary and labels.

        Initial weights are as large as makes a layer change its input by as much as in BERT base.
        """
        layers, width = SIZES[size]
        return cls(
            vocab_size=vocab_size,
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=width // 64,
            intermediate_size=4 * width,
            labels=labels,
            initializer_range=round(0.02 * math.sqrt(768 / width), 4),
        )

    @classmethod
    def parse(cls, values: Mapping[str, Any], where: str) -> "BertConfig":
        """From the content of a ``config.json``.

        Raises:
            UserError: another kind of model, or a variant of BERT that is not implemented.
        """
        kind = values.get("model_type")
        if kind != "bert":
            raise UserError(
                f"{where} has model_type {kind!r}, but only BERT is read; fine-tune a folder whose "
                "config.json says model_type 'bert'."
            )
        for name, only in _ONLY.items():
            given = values.get(name)
            if given is not None and given != only:
                raise UserError(
                    f"{where} has {name}={given!r}, but only {only!r} is implemented; use a plain "
                    "BERT encoder."
                )
        task = values.get("problem_type")
        if task not in (None, "multi_label_classification"):
            raise UserError(
                f"{where} has problem_type {task!r}, but reports get several findings at once; "
                "use a classifier trained as multi_label_classification."
            )
        given = {name: values[name] for name in cls.model_fields if name in values}
        try:
            return cls.model_validate({**given, "labels": _labels(values, where)})
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            problem = first["msg"].removeprefix("Value error, ")
            raise UserError(f"{where}: {f'{field}: ' if field else ''}{problem}.") from error

    def to_json(self) -> dict[str, Any]:
        """The content of a ``config.json`` that `transformers` loads."""
        return {
            "architectures": ["BertForSequenceClassification"],
            "model_type": "bert",
            "problem_type": "multi_label_classification",
            **self.model_dump(mode="json", exclude={"labels"}),
            "position_embedding_type": "absolute",
            "id2label": {str(i): name for i, name in enumerate(self.labels)},
            "label2id": {name: i for i, name in enumerate(self.labels)},
            "torch_dtype": "float32",
        }


def _labels(values: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """``id2label`` in the order of its numbers; generic names where there is none."""
    names = values.get("id2label")
    if not names:
        # two outputs are the default of `transformers`
        return tuple(f"LABEL_{i}" for i in range(int(values.get("num_labels") or 2)))
    try:
        numbered = {int(number): str(name) for number, name in names.items()}
    except (AttributeError, TypeError, ValueError):
        numbered = {}
    if sorted(numbered) != list(range(len(names))):
        raise UserError(f"{where}: id2label must name the outputs 0, 1, 2 and so on, each once.")
    return tuple(numbered[i] for i in range(len(numbered)))


def are_generic(labels: tuple[str, ...]) -> bool:
    """Whether nobody named the outputs: LABEL_0, LABEL_1 and so on."""
    return all(name == f"LABEL_{i}" for i, name in enumerate(labels))
