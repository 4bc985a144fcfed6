# ruff: noqa: D102  (the shapes of every forward stand in its class)
"""A deepecg_jax model in plain PyTorch; needs torch and nothing else.

    from torch_model import load
    model = load(".")            # the folder with model.safetensors and config.json; eval mode
    logits = model(signals)      # float32 (batch, 12, 2500) millivolts -> (batch, labels)

Sampling rate, duration, lead order and unit are in signal.json, the names of the outputs in
labels.json. A missing lead is zero. An encoder without a head returns tokens (batch, tokens,
width); `model.summarised(signals)` also returns its register (batch, width). State-dict names are
those of timm's VisionTransformer where the module exists there. To train on: `model.train()` (there
is no dropout here), then `save(model, folder)`. The encoder's norms have the epsilon 1e-6, those of
a head PyTorch's default, 1e-5; GELU is the exact (erf) form.
"""

import ctypes
import json
import struct
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PatchEmbed(nn.Module):
    """Signal (B, leads, T) -> (B, N, D): spans of all leads, or of each lead, lead by lead."""

    def __init__(self, leads, samples, width, per_lead, bias):
        super().__init__()
        self.proj = nn.Conv1d(1 if per_lead else leads, width, samples, samples, bias=bias)
        self.per_lead = per_lead

    def forward(self, signals: Tensor) -> Tensor:
        if not self.per_lead:
            return self.proj(signals).transpose(1, 2)
        leads = signals.shape[1]
        vectors = self.proj(signals.flatten(0, 1).unsqueeze(1))  # (B leads, D, N / leads)
        return vectors.transpose(1, 2).unflatten(0, (-1, leads)).flatten(1, 2)


def time_waves(n, like: Tensor) -> Tensor:
    """Sine-cosine positions of n patches in time, (n, D) for tokens ``like`` (..., D)."""
    half = like.shape[-1] // 2
    place = torch.arange(n, dtype=torch.float64, device=like.device)
    rate = 10000.0 ** (-torch.arange(half, dtype=torch.float64, device=like.device) / half)
    angle = place[:, None] * rate
    return torch.cat([angle.sin(), angle.cos()], 1).to(like.dtype)


def crossing(leads, n, device) -> Tensor:
    """Which tokens share a lead or a time, after the register, which sees all: (1 + N, 1 + N)."""
    token = torch.arange(leads * n, device=device)
    lead, time = token // n, token % n
    same = (lead[:, None] == lead) | (time[:, None] == time)
    return F.pad(same, (1, 0, 1, 0), value=True)


class Attention(nn.Module):
    """Self-attention, (B, N, D) -> (B, N, D); ``pairs`` (N, N) says who may see whom."""

    def __init__(self, width, heads, bias):
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.proj = nn.Linear(width, width, bias=bias)
        self.heads = heads

    def forward(self, x: Tensor, pairs) -> Tensor:
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.qkv(x).chunk(3, -1)
        )
        y = F.scaled_dot_product_attention(query, key, value, attn_mask=pairs)
        return self.proj(y.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Two layers with GELU."""

    def __init__(self, width, hidden, bias):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden, bias=bias)
        self.fc2 = nn.Linear(hidden, width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Layer(nn.Module):
    """Attention and feed-forward block, each normalised before and added."""

    def __init__(self, width, heads, hidden, bias):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6, bias=bias)
        self.attn = Attention(width, heads, bias)
        self.norm2 = nn.LayerNorm(width, eps=1e-6, bias=bias)
        self.mlp = FeedForward(width, hidden, bias)

    def forward(self, x: Tensor, pairs) -> Tensor:
        x = x + self.attn(self.norm1(x), pairs)
        return x + self.mlp(self.norm2(x))


class Encoder(nn.Module):
    """Patch transformer: (B, leads, T) millivolts -> tokens (B, N, D)."""

    def __init__(self, config):
        super().__init__()
        width, bias = config["width"], config["biases"]
        self.leads, per_lead = config["leads"], config["patches"] == "per_lead"
        self.patch_embed = PatchEmbed(self.leads, config["patch_samples"], width, per_lead, bias)
        self.mask_token = nn.Parameter(0.02 * torch.randn(1, 1, width))  # pretraining only
        self.reg_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        leads = nn.Parameter(0.02 * torch.randn(self.leads, width))
        self.lead_embed = leads if per_lead else None
        self.blocks = nn.ModuleList(
            Layer(width, config["heads"], config["ffn_width"], bias)
            for _ in range(config["layers"])
        )
        self.norm = nn.LayerNorm(width, eps=1e-6, bias=bias)
        self.groups = self.leads if per_lead else 1
        self.cross = config["attention_pattern"] == "cross"

    def summarised(self, signals: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, N, D) and the register (B, D)."""
        if signals.ndim != 3 or signals.shape[1] != self.leads:
            raise ValueError(f"signals are {tuple(signals.shape)}, not (batch, {self.leads}, time)")
        x = self.patch_embed(signals)
        n = x.shape[1] // self.groups
        x = x.unflatten(1, (self.groups, n)) + time_waves(n, x)
        if self.lead_embed is not None:
            x = x + self.lead_embed[:, None]
        x = torch.cat([self.reg_token.expand(x.shape[0], -1, -1), x.flatten(1, 2)], 1)
        pairs = crossing(self.groups, n, x.device) if self.cross else None
        for block in self.blocks:
            x = block(x, pairs)
        x = self.norm(x)
        return x[:, 1:], x[:, 0]

    def forward(self, signals: Tensor) -> Tensor:
        return self.summarised(signals)[0]


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Multi-head attention, (B, Q, D), (B, N, D), (B, N, D) -> (B, Q, D)."""
    query, key, value = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


class CrossAttention(nn.Module):
    """Queries (B, Q, D) look at tokens (B, N, D)."""

    def __init__(self, width, heads):
        super().__init__()
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)
        self.heads = heads

    def forward(self, query: Tensor, tokens: Tensor) -> Tensor:
        key, value = self.kv(tokens).chunk(2, -1)
        return self.proj(attend(self.q(query), key, value, self.heads))


class MLP(nn.Module):
    """Two layers with GELU, four times as wide between them."""

    def __init__(self, width):
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class CrossAttentionBlock(nn.Module):
    """Cross-attention and MLP, both residual; the tokens are normalised, the query is not."""

    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.xattn = CrossAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = MLP(width)

    def forward(self, query: Tensor, tokens: Tensor) -> Tensor:
        query = query + self.xattn(query, self.norm1(tokens))
        return query + self.mlp(self.norm2(query))


class AttentionPooler(nn.Module):
    """One learned query: tokens (B, N, D) -> (B, D)."""

    def __init__(self, width, heads):
        super().__init__()
        self.query_tokens = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.cross_attention_block = CrossAttentionBlock(width, heads)

    def forward(self, tokens: Tensor) -> Tensor:
        query = self.query_tokens.expand(tokens.shape[0], -1, -1)
        return self.cross_attention_block(query, tokens)[:, 0]


class AttentionHead(nn.Module):
    """Tokens (B, N, D) -> logits (B, labels)."""

    def __init__(self, width, heads, labels):
        super().__init__()
        self.pooler = AttentionPooler(width, heads)
        self.linear = nn.Linear(width, labels)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.linear(self.pooler(tokens))


class Classifier(nn.Module):
    """(B, leads, T) millivolts -> logits (B, labels); a linear head averages the tokens first."""

    def __init__(self, config, head, labels):
        super().__init__()
        self.encoder = Encoder(config)
        self.mean = head["kind"] == "linear"
        if self.mean:
            self.head = nn.Linear(config["width"], labels)
        else:
            self.head = AttentionHead(config["width"], head["heads"], labels)

    def forward(self, signals: Tensor) -> Tensor:
        tokens = self.encoder(signals)
        return self.head(tokens.mean(1) if self.mean else tokens)


DTYPES = {"F32": torch.float32, "I64": torch.int64}


def read_safetensors(path) -> dict[str, Tensor]:
    """Tensors by name: 8 bytes of header length, a JSON header, then the raw values."""
    data = bytearray(Path(path).read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        dtype = DTYPES.get(entry["dtype"])
        if dtype is None or end > len(data):
            raise ValueError(f"{path}: {name} is {entry['dtype']} or cut short")
        count = (end - start) // dtype.itemsize
        values = torch.frombuffer(data, dtype=dtype, count=count, offset=start)
        tensors[name] = values.reshape(entry["shape"]).clone()
    return tensors


def write_safetensors(path, tensors) -> None:
    """Inverse of `read_safetensors`."""
    header, offset, blocks = {}, 0, []
    ordered = sorted(tensors.items(), key=lambda item: item[1].is_floating_point())  # aligned
    for name, tensor in ordered:
        kind = "F32" if tensor.is_floating_point() else "I64"
        values = tensor.detach().to("cpu", DTYPES[kind]).contiguous()
        blocks.append(ctypes.string_at(values.data_ptr(), values.itemsize * values.numel()))
        place = [offset, offset + len(blocks[-1])]
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": place}
        offset = place[1]
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blocks))


def build(config, labels) -> nn.Module:
    """The module that config.json and labels.json describe, with random weights."""
    if config["head"] is None:
        return Encoder(config["model"])
    return Classifier(config["model"], config["head"], len(labels))


def load(folder=".") -> nn.Module:
    """The exported model in eval mode; every weight must be there and fit, or this raises."""
    folder = Path(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    labels = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    model = build(config, labels)
    model.load_state_dict(read_safetensors(folder / "model.safetensors"), strict=True)
    return model.eval()


def save(model, folder=".") -> None:
    """Write the weights of a model that was trained on back to model.safetensors in the folder."""
    write_safetensors(Path(folder) / "model.safetensors", model.state_dict())
