# ruff: noqa: D102  (the shapes of every forward stand in its class)
"""A deepecg_jax model in plain PyTorch; needs torch and nothing else.

    from torch_model import load
    model = load(".")            # the folder with model.safetensors and config.json; eval mode
    logits = model(signals)      # float32 (batch, 12, 2500) millivolts -> (batch, labels)

Sampling rate, duration, lead order and unit are in signal.json, the names of the outputs in
labels.json. A missing lead is zero. An encoder without a head returns tokens (batch, tokens,
width). State-dict names are those of Net1D, and of torchvision where the module is not in Net1D. To
train on: `model.train()` (batch statistics and dropout work), then `save(model, folder)`. Every
norm has PyTorch's default epsilon, 1e-5.
"""

import ctypes
import json
import struct
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ACTIVATIONS = {"relu": nn.ReLU, "swish": nn.SiLU}


class Convolution(nn.Module):
    """Convolution with a step for every started stride, (B, I, T) -> (B, O, T')."""

    def __init__(self, n_in, n_out, kernel, stride=1, groups=1, bias=True):
        super().__init__()
        self.conv = nn.Conv1d(n_in, n_out, kernel, stride, groups=groups, bias=bias)
        self.edges = (kernel - 1) // 2, kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, self.edges))


def norm(width, config) -> nn.Module:
    """Batch normalisation over batch and time, or nothing."""
    if not config["batch_norm"]:
        return nn.Identity()
    return nn.BatchNorm1d(width, momentum=config["norm_momentum"])


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut, (B, I, T) -> (B, O, T')."""

    def __init__(self, config, n_in, n_out, kernel, stride):
        super().__init__()
        bias = not config["batch_norm"]
        self.conv1 = Convolution(n_in, n_out, kernel, stride, bias=bias)
        self.bn1 = norm(n_out, config)
        self.conv2 = Convolution(n_out, n_out, kernel, bias=bias)
        self.bn2 = norm(n_out, config)
        self.downsample = nn.Identity()
        if stride != 1 or n_in != n_out:
            shortcut = Convolution(n_in, n_out, 1, stride, bias=bias)
            self.downsample = nn.Sequential(shortcut, norm(n_out, config))
        self.active = ACTIVATIONS[config["activation"]]()
        self.drop = nn.Dropout(config["dropout"])

    def forward(self, x: Tensor) -> Tensor:
        y = self.drop(self.active(self.bn1(self.conv1(x))))
        return self.active(self.downsample(x) + self.bn2(self.conv2(y)))


class BottleneckBlock(nn.Module):
    """Convolutions of 1, ``kernel`` (grouped) and 1 taps and a gate, (B, I, T) -> (B, O, T').

    ``first`` is the first block of the network, whose input is active already.
    """

    def __init__(self, config, n_in, n_out, kernel, stride, group_width, reduction, first):
        super().__init__()
        self.bn1 = nn.Identity() if first else norm(n_in, config)
        self.conv1 = Convolution(n_in, n_out, 1)
        self.bn2 = norm(n_out, config)
        self.conv2 = Convolution(n_out, n_out, kernel, stride, n_out // group_width)
        self.bn3 = norm(n_out, config)
        self.conv3 = Convolution(n_out, n_out, 1)
        reduced = max(n_out // reduction, 1)
        self.se_fc1 = nn.Linear(n_out, reduced)
        self.se_fc2 = nn.Linear(reduced, n_out)
        self.active = ACTIVATIONS[config["activation"]]()
        self.drop = nn.Dropout(config["dropout"])
        self.first, self.stride = first, stride
        self.added = (n_out - n_in) // 2, n_out - n_in - (n_out - n_in) // 2

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.first else self.drop(self.active(self.bn1(x)))
        y = self.drop(self.active(self.bn2(self.conv1(y))))
        y = self.conv3(self.drop(self.active(self.bn3(self.conv2(y)))))
        gate = torch.sigmoid(self.se_fc2(self.active(self.se_fc1(y.mean(-1)))))
        shortcut = F.max_pool1d(F.pad(x, (0, self.stride - 1)), self.stride)
        return y * gate[..., None] + F.pad(shortcut, (0, 0, *self.added))


class StageOfBlocks(nn.Module):
    """Blocks of one shape; the first one has the stride."""

    def __init__(self, config, stage, n_in, first):
        super().__init__()
        kind, width, depth, kernel, stride, group_width, reduction = stage
        blocks = []
        for i in range(depth):
            shape = n_in if i == 0 else width, width, kernel, stride if i == 0 else 1
            if kind == "basic":
                blocks.append(BasicBlock(config, *shape))
            else:
                more = group_width, reduction, first and i == 0
                blocks.append(BottleneckBlock(config, *shape, *more))
        self.block_list = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_list(x)


class Encoder(nn.Module):
    """Convolutional encoder: (B, leads, T) millivolts -> tokens (B, N, D)."""

    def __init__(self, config):
        super().__init__()
        self.leads, self.input_scale = config["leads"], config["input_scale"]
        width, shape = config["stem_width"], (config["stem_kernel"], config["stem_stride"])
        bias = not config["batch_norm"]
        self.first_conv = Convolution(self.leads, width, *shape, bias=bias)
        self.first_bn = norm(width, config)
        self.active = ACTIVATIONS[config["activation"]]()
        stages = []
        for stage in config["stages"]:
            stages.append(StageOfBlocks(config, stage, width, first=not stages))
            width = stage[1]
        self.stage_list = nn.Sequential(*stages)

    def forward(self, signals: Tensor) -> Tensor:
        if signals.ndim != 3 or signals.shape[1] != self.leads:
            raise ValueError(f"signals are {tuple(signals.shape)}, not (batch, {self.leads}, time)")
        x = self.active(self.first_bn(self.first_conv(signals * self.input_scale)))
        return self.stage_list(x).transpose(1, 2)


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


class Classifier(Encoder):
    """(B, leads, T) millivolts -> logits (B, labels); a linear head averages the tokens first."""

    def __init__(self, config, head, labels):
        super().__init__(config)
        self.mean = head["kind"] == "linear"
        width = config["width"]
        self.drop = nn.Dropout(head["dropout"])
        linear = nn.Linear(width, labels)
        self.dense = linear if self.mean else AttentionHead(width, head["heads"], labels)

    def forward(self, signals: Tensor) -> Tensor:
        tokens = super().forward(signals)
        return self.dense(self.drop(tokens.mean(1)) if self.mean else tokens)


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
