# ruff: noqa: D102  (the shapes of every forward stand in its class)
"""A deepecg_jax model in plain PyTorch; needs torch and nothing else.

    from torch_model import load
    model = load(".")            # the folder with model.safetensors and config.json; eval mode
    logits = model(signals)      # float32 (batch, 12, 2500) millivolts -> (batch, labels)

Sampling rate, duration, lead order and unit are in signal.json, the names of the outputs in
labels.json. A missing lead is zero. An encoder without a head returns tokens (batch, tokens,
width). State-dict names are those of DeepECG-SL's EfficientNet. To train on: `model.train()`
(batch statistics, stochastic depth and the head's dropout work), then `save(model, folder)`. Every
norm has PyTorch's default epsilon, 1e-5.
"""

import ctypes
import json
import struct
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Norm(nn.Module):
    """Batch normalisation over batch and time, (B, C, T) -> (B, C, T)."""

    def __init__(self, width, momentum):
        super().__init__()
        self.norm = nn.BatchNorm1d(width, momentum=momentum)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x)


def normed_conv(n_in, n_out, kernel, stride, momentum, groups=1, active=True) -> nn.Sequential:
    """Convolution padded by half a kernel, norm, and LeakyReLU if ``active``."""
    conv = nn.Conv1d(n_in, n_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, Norm(n_out, momentum), *([nn.LeakyReLU()] if active else []))


class Gate(nn.Module):
    """Squeeze-and-excitation: each channel times a factor 0..1 of the record, (B, C, T)."""

    def __init__(self, width, reduced):
        super().__init__()
        self.se = nn.Sequential(
            nn.AdaptiveAvgPool1d(1),
            nn.Conv1d(width, reduced, 1),
            nn.LeakyReLU(),
            nn.Conv1d(reduced, width, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.se(x)


class Block(nn.Module):
    """(B, I, T) -> (B, O, T'): fused or inverted bottleneck, residual where the shape stays.

    In training a record skips a residual block with the probability ``drop``.
    """

    def __init__(self, kind, n_in, n_out, kernel, stride, expansion, reduction, drop, momentum):
        super().__init__()
        inner = n_out if kind == "fused" else n_in * expansion
        if kind == "fused":
            self.fused_conv = normed_conv(n_in, n_out, kernel, stride, momentum)
        else:
            if expansion > 1:
                self.expand_conv = normed_conv(n_in, inner, 1, 1, momentum)
            self.depthwise_conv = normed_conv(inner, inner, kernel, stride, momentum, groups=inner)
            self.project_conv = normed_conv(inner, n_out, 1, 1, momentum, active=False)
        self.se = Gate(inner, max(inner // reduction, 1))
        names = ("fused_conv", "expand_conv", "depthwise_conv", "se", "project_conv")
        self.order = [name for name in names if hasattr(self, name)]
        self.residual = stride == 1 and n_in == n_out
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for name in self.order:
            y = getattr(self, name)(y)
        if not self.residual:
            return y
        if self.training and self.drop:
            keep = torch.rand(len(x), 1, 1, device=x.device) >= self.drop
            y = y * (keep / (1.0 - self.drop)).to(y.dtype)
        return x + y


class Encoder(nn.Module):
    """EfficientNet encoder: (B, leads, T) millivolts -> tokens (B, N, D)."""

    def __init__(self, config):
        super().__init__()
        self.leads, self.input_scale = config["leads"], config["input_scale"]
        width, momentum = config["stem_width"], config["norm_momentum"]
        self.initial_conv = normed_conv(self.leads, width, 3, 1, momentum)
        blocks = []
        for kind, n_out, depth, kernel, stride, expansion, reduction in config["stages"]:
            shape = kernel, stride, expansion, reduction
            for _ in range(depth):
                drop = config["stochastic_depth"]
                blocks.append(Block(kind, width, n_out, *shape, drop, momentum))
                width, shape = n_out, (kernel, 1, expansion, reduction)
        self.features = nn.Sequential(*blocks)
        self.final_conv = nn.Conv1d(width, config["width"], 1)
        self.final_norm = Norm(config["width"], momentum)

    def forward(self, signals: Tensor) -> Tensor:
        if signals.ndim != 3 or signals.shape[1] != self.leads:
            raise ValueError(f"signals are {tuple(signals.shape)}, not (batch, {self.leads}, time)")
        x = self.features(self.initial_conv(signals * self.input_scale))
        return self.final_norm(self.final_conv(x)).transpose(1, 2)


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


class AttentionPool(nn.Module):
    """One learned query looks at the tokens (B, N, D), its output projection gives (B, labels)."""

    def __init__(self, width, heads, labels):
        super().__init__()
        self.query = nn.Parameter(torch.randn(width) / width**0.5)
        self.q, self.k, self.v = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.proj = nn.Linear(width, labels, bias=False)
        self.heads = heads

    def forward(self, tokens: Tensor) -> Tensor:
        query = self.q(self.query).expand(len(tokens), 1, -1)
        return self.proj(attend(query, self.k(tokens), self.v(tokens), self.heads)[:, 0])


class MeanMax(nn.Module):
    """Mean and maximum over time, (B, C, T) -> (B, 2 C, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.mean(-1, keepdim=True), x.amax(-1, keepdim=True)], 1)


class Classifier(Encoder):
    """(B, leads, T) millivolts -> logits (B, labels).

    A linear head reads the mean of the tokens, or, if its readout says so, also their maximum.
    """

    def __init__(self, config, head, labels):
        super().__init__(config)
        self.linear = head["kind"] == "linear"
        width = config["width"]
        if self.linear:
            mean = head.get("readout", "mean") == "mean"
            pool = nn.AdaptiveAvgPool1d(1) if mean else MeanMax()
            last = nn.Dropout(head["dropout"]), nn.Linear(width if mean else 2 * width, labels)
            self.classifier = nn.Sequential(pool, nn.Flatten(), *last)
        else:
            kind = AttentionHead if head["kind"] == "attention" else AttentionPool
            self.classifier = kind(width, head["heads"], labels)

    def forward(self, signals: Tensor) -> Tensor:
        tokens = super().forward(signals)
        return self.classifier(tokens.transpose(1, 2) if self.linear else tokens)


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
