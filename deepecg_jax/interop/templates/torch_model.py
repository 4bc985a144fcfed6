# ruff: noqa: D102  (the shapes of every forward stand in its class)
"""A deepecg_jax model in plain PyTorch; needs torch and nothing else.

    from torch_model import load
    model = load(".")            # the folder with model.safetensors and config.json; eval mode
    logits = model(signals)      # float32 (batch, 12, 2500) millivolts -> (batch, labels)

Sampling rate, duration, lead order and unit are in signal.json, the names of the outputs in
labels.json. A missing lead is zero. An encoder without a head returns tokens (batch, tokens,
width). State-dict names are those of fairseq-signals where the module exists there. To train on:
`model.train()` (there is no dropout here), then `save(model, folder)`. Every norm has PyTorch's
default epsilon, 1e-5, and GELU is the exact (erf) form.
"""

import ctypes
import json
import math
import struct
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvStem(nn.Module):
    """Signal (B, leads, T) -> features (B, C, N): convolutions with GELU.

    The first one is normalised over time per record and channel (GroupNorm, one channel a group).
    """

    def __init__(self, leads, layers, bias):
        super().__init__()
        blocks = []
        for i, (width, kernel, stride) in enumerate(layers):
            block = [nn.Conv1d(leads, width, kernel, stride, bias=bias), nn.Identity()]
            if i == 0:
                block.append(nn.GroupNorm(width, width))
            blocks.append(nn.Sequential(*block, nn.GELU()))
            leads = width
        self.conv_layers = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.conv_layers:
            x = block(x)
        return x


class WeightNormConv(nn.Module):
    """Grouped convolution whose kernel is weight_g * weight_v / |weight_v|, one norm a tap."""

    def __init__(self, width, taps, groups):
        super().__init__()
        self.weight_g = nn.Parameter(torch.ones(1, 1, taps))
        deviation = math.sqrt(4.0 / (taps * width))
        self.weight_v = nn.Parameter(deviation * torch.randn(width, width // groups, taps))
        self.bias = nn.Parameter(torch.zeros(width))
        self.taps, self.groups = taps, groups

    def forward(self, x: Tensor) -> Tensor:
        norm = self.weight_v.square().sum((0, 1), keepdim=True).sqrt()
        weight = self.weight_g * (self.weight_v / norm)
        y = F.conv1d(x, weight, self.bias, padding=self.taps // 2, groups=self.groups)
        return y[..., : x.shape[-1]]  # an even number of taps gives one output too many


class PositionalConv(nn.Module):
    """(B, N, D) -> (B, N, D), what is added to the tokens as their position."""

    def __init__(self, width, taps, groups):
        super().__init__()
        self.pos_conv = nn.Sequential(WeightNormConv(width, taps, groups), nn.GELU())

    def forward(self, x: Tensor) -> Tensor:
        return self.pos_conv(x.transpose(1, 2)).transpose(1, 2)


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Multi-head attention, (B, Q, D), (B, N, D), (B, N, D) -> (B, Q, D)."""
    query, key, value = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Bidirectional self-attention with biases."""

    def __init__(self, width, heads):
        super().__init__()
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        return self.out_proj(attend(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.heads))


class TransformerLayer(nn.Module):
    """Attention and feed-forward block, normalised after (post-LN) or before (pre-LN) each."""

    def __init__(self, width, heads, hidden, norm_first):
        super().__init__()
        self.self_attn = SelfAttention(width, heads)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)
        self.final_layer_norm = nn.LayerNorm(width)
        self.norm_first = norm_first

    def feed_forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))

    def forward(self, x: Tensor) -> Tensor:
        if self.norm_first:
            x = x + self.self_attn(self.self_attn_layer_norm(x))
            return x + self.feed_forward(self.final_layer_norm(x))
        x = self.self_attn_layer_norm(x + self.self_attn(x))
        return self.final_layer_norm(x + self.feed_forward(x))


class Transformer(nn.Module):
    """The layers, and one norm: before them in post-LN, after them in pre-LN."""

    def __init__(self, width, layers, heads, hidden, norm_first):
        super().__init__()
        self.layers = nn.ModuleList(
            TransformerLayer(width, heads, hidden, norm_first) for _ in range(layers)
        )
        self.layer_norm = nn.LayerNorm(width)
        self.norm_first = norm_first

    def forward(self, x: Tensor) -> Tensor:
        if not self.norm_first:
            x = self.layer_norm(x)
        for layer in self.layers:
            x = layer(x)
        return self.layer_norm(x) if self.norm_first else x


class Encoder(nn.Module):
    """WCR encoder: (B, leads, T) millivolts -> tokens (B, N, D)."""

    def __init__(self, config):
        super().__init__()
        width, features = config["width"], config["conv_layers"][-1][0]
        self.leads = config["leads"]
        self.feature_extractor = ConvStem(self.leads, config["conv_layers"], config["conv_bias"])
        self.layer_norm = nn.LayerNorm(features)
        same = features == width
        self.post_extract_proj = nn.Identity() if same else nn.Linear(features, width)
        self.mask_emb = nn.Parameter(torch.rand(width))  # hidden tokens; pretraining only
        taps, groups = config["positional_kernel"], config["positional_groups"]
        self.conv_pos = PositionalConv(width, taps, groups)
        shape = config["layers"], config["heads"], config["ffn_width"]
        self.encoder = Transformer(width, *shape, config["layer_norm_first"])

    def local(self, signals: Tensor) -> Tensor:
        """Features (B, N, C) before any context."""
        if signals.ndim != 3 or signals.shape[1] != self.leads:
            raise ValueError(f"signals are {tuple(signals.shape)}, not (batch, {self.leads}, time)")
        return self.layer_norm(self.feature_extractor(signals).transpose(1, 2))

    def context(self, features: Tensor) -> Tensor:
        """Tokens (B, N, D) that know of each other."""
        x = self.post_extract_proj(features)
        return self.encoder(x + self.conv_pos(x))

    def forward(self, signals: Tensor) -> Tensor:
        return self.context(self.local(signals))


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


class Classifier(nn.Module):
    """(B, leads, T) millivolts -> logits (B, labels).

    A linear head reads the mean of the tokens, or, if its readout is named so, also their maximum
    and the same of the local features.
    """

    def __init__(self, config, head, labels):
        super().__init__()
        self.encoder = Encoder(config)
        self.readout = head.get("readout", "mean") if head["kind"] == "linear" else ""
        width = config["width"]
        if self.readout:
            local = config["conv_layers"][-1][0] if "local" in self.readout else 0
            self.proj = nn.Linear((width + local) * (1 + ("max" in self.readout)), labels)
        else:
            kind = AttentionHead if head["kind"] == "attention" else AttentionPool
            self.proj = kind(width, head["heads"], labels)

    def read_out(self, features: Tensor, tokens: Tensor) -> Tensor:
        """One vector an ECG."""
        vectors = []
        for values in (tokens, features) if "local" in self.readout else (tokens,):
            vectors.append(values.mean(1))
            if "max" in self.readout:
                vectors.append(values.amax(1))
        return torch.cat(vectors, -1)

    def forward(self, signals: Tensor) -> Tensor:
        features = self.encoder.local(signals)
        tokens = self.encoder.context(features)
        return self.proj(self.read_out(features, tokens) if self.readout else tokens)


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
