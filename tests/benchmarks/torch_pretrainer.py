"""The WCR pretraining step in PyTorch, as the peer of the benchmark: same model, same objective.

The encoder is the exported one, whose attention is PyTorch's fused kernel. Negatives are gathered
after their projection, as the original does; the random draws are PyTorch's own. Runs on any
device, also under autocast and compiled.
"""

import importlib.util
import sys
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from deepecg_jax.interop.torch_names import PORTS


def exported_module(kind: str) -> ModuleType:
    """The file of a family that an export writes, imported as ``torch_model``."""
    spec = importlib.util.spec_from_file_location("torch_model", PORTS[kind].template)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["torch_model"] = module  # torch.compile looks there
    spec.loader.exec_module(module)
    return module


class Pretrainer(nn.Module):
    """Encoder, Gumbel quantizer and projections; ``forward`` is the mean loss of a batch."""

    def __init__(
        self,
        config: dict[str, Any],
        heads: dict[str, Any],
        mask_share: float = 0.5,
        negatives: int = 100,
    ):
        super().__init__()
        self.encoder = exported_module("wcr").Encoder(config)
        features, final = config["conv_layers"][-1][0], heads["final_dim"]
        self.groups, self.words = heads["codebook_groups"], heads["codewords"]
        self.codebook = nn.Parameter(torch.rand(self.groups, self.words, final // self.groups))
        self.weight_proj = nn.Linear(features, self.groups * self.words)
        self.project_q = nn.Linear(final, final)
        self.final_proj = nn.Linear(config["width"], final)
        self.mask_share, self.negatives = mask_share, negatives

    def forward(self, signal: torch.Tensor, patient: torch.Tensor) -> torch.Tensor:
        """Halves of ECGs (2B, leads, T), all first halves first; patients (B,)."""
        survivors = torch.rand(signal.shape[:2], device=signal.device) >= 0.5
        encoder = self.encoder
        stem = encoder.feature_extractor(signal * survivors[..., None])
        penalty = stem.float().square().mean()
        features = encoder.layer_norm(stem.transpose(1, 2))
        x = encoder.post_extract_proj(features)
        rows, tokens, width = x.shape
        count = round(self.mask_share * tokens)
        hidden = self.hidden_tokens(rows, tokens, count, x.device)
        hiding = encoder.mask_emb.to(x.dtype).expand(rows, count, -1)
        x = x.scatter(1, hidden[..., None].expand(-1, -1, width), hiding)
        out = encoder.encoder(x + encoder.conv_pos(x))

        def take(values: torch.Tensor) -> torch.Tensor:
            return values.gather(1, hidden[..., None].expand(-1, -1, values.shape[-1]))

        vectors, diversity = self.quantize(take(features))
        target, context = self.project_q(vectors), self.final_proj(take(out))
        draws = torch.randint(0, count - 1, (rows, count, self.negatives), device=x.device)
        draws = draws + (draws >= torch.arange(count, device=x.device)[None, :, None])
        row = torch.arange(rows, device=x.device)[:, None, None]
        others = target[row, draws]  # (rows, count, K, d)
        everyone = torch.cat([target[:, :, None], others], 2)
        logits = F.cosine_similarity(context[:, :, None], everyone, -1) / 0.1
        same = (everyone[:, :, 1:] == target[:, :, None]).all(-1)
        logits = torch.cat([logits[..., :1], logits[..., 1:].masked_fill(same, -1e30)], -1)
        contrastive = -F.log_softmax(logits, -1)[..., 0].mean()
        first, second = F.normalize(out.float().mean(1), dim=-1).chunk(2)
        similarity = first @ second.T / 0.1
        positive = (patient[:, None] == patient[None]).float()
        cmsc = (
            -0.5
            / positive.sum()
            * (
                (positive * similarity.log_softmax(1)).sum()
                + (positive * similarity.log_softmax(0)).sum()
            )
        )
        return contrastive + 0.1 * diversity + 10 * penalty + cmsc

    def quantize(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self.weight_proj(features).unflatten(-1, (self.groups, self.words))
        chosen = F.gumbel_softmax(logits, tau=2.0, hard=True)
        vectors = torch.einsum("bmgv,gvs->bmgs", chosen, self.codebook).flatten(2)
        usage = logits.softmax(-1).mean((0, 1))
        perplexity = (-(usage * (usage + 1e-7).log()).sum(-1)).exp().sum()
        words = self.groups * self.words
        return vectors, (words - perplexity) / words

    def hidden_tokens(
        self, rows: int, tokens: int, count: int, device: torch.device, span: int = 10
    ) -> torch.Tensor:
        """Spans in random order until ``count`` tokens are hidden, (rows, count)."""
        rank = torch.rand(rows, tokens - span + 1, device=device).argsort(-1).argsort(-1)
        turn = torch.full((rows, tokens), tokens, device=device)
        for shift in range(span):
            part = turn[:, shift : shift + rank.shape[1]]
            turn[:, shift : shift + rank.shape[1]] = torch.minimum(part, rank)
        return turn.argsort(dim=-1, stable=True)[:, :count].sort(-1).values
