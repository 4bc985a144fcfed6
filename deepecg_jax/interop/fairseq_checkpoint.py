"""A bundle as a checkpoint file of fairseq-signals: the same tensors, names and layout.

The file holds plain values and tensors only, so ``torch.load(..., weights_only=True)`` reads it,
and ``deepecg import`` takes it back bit for bit.
"""

from pathlib import Path
from typing import Any

import numpy as np

from deepecg_jax.bundle.bundle import Bundle
from deepecg_jax.errors import UserError
from deepecg_jax.interop import torch_names
from deepecg_jax.models.wcr.shape import WCRShape
from deepecg_jax.objectives.objective import ObjectiveConfig
from deepecg_jax.objectives.wcr.settings import WCRSettings

FILE_NAME = "checkpoint.pt"


def state_dict(bundle: Bundle) -> dict[str, np.ndarray]:
    """Tensors by fairseq-signals' names: of an encoder with its quantizer where the bundle has
    one, or of a classifier without ``mask_emb``, which fine-tuned models drop.
    """
    architecture = bundle.architecture
    if architecture.head is not None:
        state = torch_names.to_torch(bundle.weights, torch_names.links_of(architecture))
        return {name: value for name, value in state.items() if name != "encoder.mask_emb"}
    model, objective, heads = architecture.model, bundle.objective, bundle.pretraining
    if heads is None or not isinstance(objective, WCRSettings) or not isinstance(model, WCRShape):
        return torch_names.to_torch(bundle.weights, torch_names.links_of(architecture))
    whole = {f"encoder.{name}": value for name, value in bundle.weights.items()}
    whole |= {f"heads.{name}": value for name, value in heads.items()}
    state = torch_names.to_torch(whole, torch_names.pretrainer_links(model, objective))
    # the lead decoder is ours: fairseq-signals would refuse a tensor it does not know
    return {name: value for name, value in state.items() if not name.startswith("lead_decoder")}


def write_checkpoint(bundle: Bundle, path: Path) -> None:
    """Write ``path`` in the form of fairseq-signals; UserError for another model family."""
    import torch

    model = bundle.architecture.model
    if not isinstance(model, WCRShape):
        raise UserError(f"{bundle.folder} is no WCR model; fairseq-signals has no other.")
    head = bundle.architecture.head
    classifier = head is not None
    if head is not None and (head.readout != "mean" or head.kind == "attention_pool"):
        what = head.kind if head.kind != "linear" else f"readout {head.readout}"
        raise UserError(
            f"{bundle.folder} has a head of {what}; fairseq-signals has none, so export it with "
            "--layout native."
        )
    config = model_config(model, bundle.objective)
    if classifier:
        config |= {
            "_name": "ecg_transformer_classifier",
            "num_labels": len(bundle.labels),
            "apply_mask": False,
            "mask_prob": 0.0,
            "final_dropout": 0.0,
            "model_path": "",
            "no_pretrained_weights": True,
            "freeze_finetune_updates": 0,
            "linear_evaluation": False,
        }
    contract = bundle.signal
    task = {
        "_name": "ecg_classification" if classifier else "ecg_pretraining",
        "sample_rate": round(contract.sampling_rate),
        "normalize": contract.scaling == "fairseq",
        "enable_padding": True,
    }
    state = {name: torch.from_numpy(np.copy(value)) for name, value in state_dict(bundle).items()}
    torch.save(
        {
            "args": None,
            "cfg": {"model": config, "task": task},
            "model": state,
            "criterion": None,
            "optimizer_history": [],
            "task_state": {},
            "extra_state": {},
        },
        path,
    )


def model_config(model: WCRShape, objective: ObjectiveConfig | None) -> dict[str, Any]:
    """The keys of fairseq-signals' ``Wav2Vec2CMSCConfig`` for an encoder.

    Those of the quantizer, which a file without one does not use, are the defaults where the
    encoder was not pretrained with WCR.
    """
    heads = objective if isinstance(objective, WCRSettings) else WCRSettings()
    layers = [tuple(layer) for layer in model.conv_layers]
    return {
        "_name": "wav2vec2_cmsc",
        "in_d": model.leads,
        "conv_feature_layers": str(layers),
        "conv_bias": model.conv_bias,
        "extractor_mode": "default",
        "encoder_embed_dim": model.width,
        "encoder_layers": model.layers,
        "encoder_attention_heads": model.heads,
        "encoder_ffn_embed_dim": model.ffn_width,
        "layer_norm_first": model.layer_norm_first,
        "conv_pos": model.positional_kernel,
        "conv_pos_groups": model.positional_groups,
        "quantize_targets": True,
        "latent_groups": heads.codebook_groups,
        "latent_vars": heads.codewords,
        "latent_dim": heads.latent_dim,
        "final_dim": heads.final_dim,
        "dropout_features": heads.dropout_features,
        "target_glu": False,
        "encoder_layerdrop": 0.0,
        **{
            name: getattr(model, name)
            for name in (
                "dropout",
                "attention_dropout",
                "activation_dropout",
                "dropout_input",
            )
        },
    }
