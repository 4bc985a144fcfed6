# ruff: noqa: D102  (the shapes of every forward stand in its class)
"""A deepecg_jax model in plain PyTorch; needs torch and nothing else.

    from torch_model import load
    model = load(".")            # the folder with model.safetensors and config.json; eval mode
    logits = model(signals)      # float32 (batch, 12, 2500) millivolts -> (batch, labels)

Sampling rate, duration, lead order and unit are in signal.json, the names of the outputs in
labels.json. A missing lead is zero. An encoder without a head returns tokens (batch, tokens,
width). To train on: `model.train()` (batch statistics and the encoder's dropout work), then
`save(model, folder)`. Complex numbers are written as real parts, then imaginary parts: everything
here is real, so that it also exports.
"""

import ctypes
import json
import math
import struct
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BLOCK = 64  # tokens, a power of two


class BatchNorm(nn.Module):
    """Batch normalisation over batch and time, (B, C, T) -> (B, C, T), without a count."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        running = self.running_mean, self.running_var
        return F.batch_norm(x, *running, self.weight, self.bias, self.training, 0.1, 1e-5)


class StemLayer(nn.Module):
    """Convolution, norm and ReLU, (B, I, T) -> (B, O, T')."""

    def __init__(self, n_in, width, kernel, stride):
        super().__init__()
        self.conv = nn.Conv1d(n_in, width, kernel, stride, (kernel - 1) // 2, bias=False)
        self.norm = BatchNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


def complex_blocks(real, imaginary) -> Tensor:
    """Multiplication by n complex numbers as real matrices, (H, n) -> (H, 2 n, 2 n)."""
    real, imaginary = torch.diag_embed(real), torch.diag_embed(imaginary)
    top = torch.cat([real, -imaginary], -1)
    return torch.cat([top, torch.cat([imaginary, real], -1)], -2)


def power_columns(matrix, columns, doublings) -> tuple[Tensor, Tensor]:
    """v, M v, M^2 v, ... up to 2^doublings of them, (H, S, 2^doublings K), and the next power."""
    for _ in range(doublings):
        columns = torch.cat([columns, matrix @ columns], -1)
        matrix = matrix @ matrix
    return columns, matrix


def toeplitz(forward, backward) -> Tensor:
    """Kernels of both directions of time, (H, M), as matrices (H, M, M): from j to i.

    The second one, which may be None, begins at lag -1.
    """
    width, length = forward.shape
    lags = forward.new_zeros(width, length) if backward is None else backward.flip(-1)
    taps = torch.cat([forward, lags], -1)  # lag -d stands at 2 M - d
    repeated = taps.repeat(1, length)[:, : length * (2 * length - 1)]
    return repeated.reshape(width, length, 2 * length - 1)[:, :, :length]


class StateSpace(nn.Module):
    """x[t] = A x[t - 1] + B u[t], y[t] = C x[t] + D u[t] in every channel, (B, N, H) -> (B, N, H).

    By matrix products: within blocks of tokens, and from block to block by way of the states.
    """

    log_step: Tensor
    log_decay: Tensor
    frequency: Tensor
    input: Tensor
    low_rank: Tensor

    def __init__(self, config):
        super().__init__()
        width, state = config["width"], config["state"]
        self.doublings = BLOCK.bit_length() - 1
        shapes = {"log_step": width, "log_decay": state // 2, "frequency": state // 2}
        shapes["input"] = state
        self.dense = config["kernel"] == "nplr"
        if self.dense:
            shapes["low_rank"] = state
        for name, size in shapes.items():
            if config["learn_state"]:
                self.register_parameter(name, nn.Parameter(torch.randn(size)))
            else:
                self.register_buffer(name, torch.randn(size))
        directions = 1 if config["direction"] == "causal" else 2
        self.output = nn.Parameter(math.sqrt(0.5) * torch.randn(directions, width, state))
        self.skip = nn.Parameter(torch.randn(width))

    def discrete(self) -> tuple[Tensor, Tensor, Tensor]:
        """By the bilinear rule: transitions (H, S, S), inputs (H, S), outputs (K, H, S)."""
        step = self.log_step.float().exp()[:, None]
        half = 0.5 * step
        real, imaginary = 1 + half * self.log_decay.float().exp(), half * self.frequency.float()
        size = real * real + imaginary * imaginary
        resolvent = complex_blocks(real / size, imaginary / size)
        if self.dense:
            p = self.low_rank.float()
            right, left = resolvent @ p, p @ resolvent
            share = 2 * half / (1 + 2 * half * (right @ p)[:, None])
            resolvent = resolvent - (share * right)[:, :, None] * left[:, None, :]
        transition = 2 * resolvent - torch.eye(resolvent.shape[-1], device=resolvent.device)
        of_real, of_imaginary = self.output.float().chunk(2, -1)
        output = 2 * torch.cat([of_real, -of_imaginary], -1)
        return transition, step * (resolvent @ self.input.float()), output

    def forward(self, x: Tensor) -> Tensor:
        length, width = x.shape[1:]
        count = -(-length // BLOCK)
        transition, into, output = self.discrete()
        # input that was j tokens ago; output of a state that was i tokens ago
        written, leap = power_columns(transition, into[..., None], self.doublings)
        read = [
            power_columns(transition.transpose(1, 2), c[..., None], self.doublings)[0]
            for c in output
        ]
        taps = [(c[:, None] @ written)[:, 0] for c in output]  # (H, BLOCK)
        first = F.pad(self.skip.float()[:, None], (0, BLOCK - 1)) + taps[0]
        within = toeplitz(first, taps[1] if len(taps) == 2 else None)
        blocks = F.pad(x, (0, 0, 0, count * BLOCK - length)).reshape(-1, BLOCK, width)
        blocks = blocks.permute(2, 0, 1)  # (H, B C, BLOCK)
        y = blocks @ within.to(x.dtype)
        if count > 1:
            y = y + self.carried(blocks, (transition @ written).flip(-1), leap, read[0], count)
            if len(read) == 2:
                back = self.carried(blocks, written, leap, read[1].flip(-1), count, reverse=True)
                y = y + back
        return y.permute(1, 2, 0).reshape(-1, count * BLOCK, width)[:, :length]

    @staticmethod
    def carried(blocks, into, leap, read, count, reverse=False) -> Tensor:
        """What blocks leave to others, (H, B C, BLOCK) -> (H, B C, BLOCK), C being ``count``."""
        left = (blocks @ into.transpose(1, 2).to(blocks.dtype)).float()
        left = left.unflatten(1, (-1, count))  # (H, B, C, S)
        state, found = torch.zeros_like(left[:, :, 0]), []
        for i in reversed(range(count)) if reverse else range(count):
            found.append(state)
            state = state @ leap.transpose(1, 2) + left[:, :, i]
        states = torch.stack(found[::-1] if reverse else found, 2).flatten(1, 2)
        return (states.to(blocks.dtype)) @ read.to(blocks.dtype)


class S4Layer(nn.Module):
    """State spaces, GELU, a gated product over channels, residual, norm: (B, N, D) -> (B, N, D)."""

    def __init__(self, config):
        super().__init__()
        width = config["width"]
        self.space = StateSpace(config)
        self.mix = nn.Linear(width, 2 * width)
        self.norm = nn.LayerNorm(width)
        self.rate = config["dropout"]

    def drop(self, x: Tensor) -> Tensor:
        """Dropout of channels, the same for all tokens."""
        return x * F.dropout(torch.ones_like(x[:, :1]), self.rate) if self.training else x

    def forward(self, x: Tensor) -> Tensor:
        y = self.drop(F.gelu(self.space(x)))
        return self.norm(x + self.drop(F.glu(self.mix(y), -1)))


class Encoder(nn.Module):
    """S4 encoder: (B, leads, T) millivolts -> tokens (B, N, D)."""

    def __init__(self, config):
        super().__init__()
        self.leads = n_in = config["leads"]
        stem = []
        for width, kernel, stride in config["conv_layers"]:
            stem.append(StemLayer(n_in, width, kernel, stride))
            n_in = width
        self.stem = nn.Sequential(*stem)
        self.mask_embedding = nn.Parameter(torch.randn(config["width"]))  # only for pretraining
        self.layers = nn.Sequential(*[S4Layer(config) for _ in range(config["layers"])])

    def forward(self, signals: Tensor) -> Tensor:
        if signals.ndim != 3 or signals.shape[1] != self.leads:
            raise ValueError(f"signals are {tuple(signals.shape)}, not (batch, {self.leads}, time)")
        return self.layers(self.stem(signals).transpose(1, 2))


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
            self.proj = nn.Linear(config["width"], labels)
        else:
            self.proj = AttentionHead(config["width"], head["heads"], labels)

    def forward(self, signals: Tensor) -> Tensor:
        tokens = self.encoder(signals)
        return self.proj(tokens.mean(1) if self.mean else tokens)


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
