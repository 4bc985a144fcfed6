"""Names and layouts of a convolutional network's weights in PyTorch.

They follow the published Net1D (``stage_list.0.block_list.0.conv1.conv``, ``dense``), and
torchvision's residual networks where Net1D has no name (``downsample``). Running means and
variances are weights like any other; ``batches`` carries PyTorch's counts of batches.
"""

from deepecg_jax.interop.links import CONVOLUTION, Link, attention_head, linear, norm
from deepecg_jax.models.heads import HeadConfig
from deepecg_jax.models.net1d.shape import Net1DShape


def net1d_links(config: Net1DShape, head: HeadConfig | None) -> list[Link]:
    """Links of a `Net1DEncoder` (``head=None``) or of its classifier.

    The encoder's names in PyTorch are the same in both: the original has no module for it.
    """
    links = _convolution("stem.convolution", "first_conv", bias=not config.batch_norm)
    if config.batch_norm:
        links += _norm("stem.norm", "first_bn")
    n_in, j = config.stem_width, 0
    for i, stage in enumerate(config.stages):
        for k in range(stage.depth):
            places = f"blocks.{j}", f"stage_list.{i}.block_list.{k}"
            if stage.block == "basic":
                changes = n_in != stage.width or (k == 0 and stage.stride != 1)
                links += _basic(*places, config.batch_norm, changes)
            else:
                links += _bottleneck(*places, config.batch_norm, activated=j == 0)
            n_in, j = stage.width, j + 1
    norms = [
        link.torch.removesuffix("running_mean") for link in links if link.jax.endswith("norm.mean")
    ]
    links += [
        Link("batches", f"{name}num_batches_tracked", (i,), shape=(), dtype="int64")
        for i, name in enumerate(norms)
    ]
    if head is None:
        return links
    links = [link.prefixed("encoder.", "") for link in links]
    if head.kind == "linear":
        return links + linear("head.projection", "dense")
    return links + attention_head("dense", config.width)


def _basic(jax: str, torch: str, normed: bool, changes: bool) -> list[Link]:
    """One basic block, with a shortcut's convolution where its shape changes."""
    parts = [("first", "conv1", "bn1"), ("second", "conv2", "bn2")]
    if changes:
        parts.append(("shortcut", "downsample.0", "downsample.1"))
    links = []
    for ours, theirs, their_norm in parts:
        links += _convolution(f"{jax}.{ours}", f"{torch}.{theirs}", bias=not normed)
        if normed:
            links += _norm(f"{jax}.{ours}_norm", f"{torch}.{their_norm}")
    return links


def _bottleneck(jax: str, torch: str, normed: bool, activated: bool) -> list[Link]:
    """One bottleneck block; ``activated``: without a norm before its first convolution."""
    links = []
    for i, ours in enumerate(("first", "grouped", "last")):
        if normed and not (i == 0 and activated):
            links += _norm(f"{jax}.{ours}_norm", f"{torch}.bn{i + 1}")
        links += _convolution(f"{jax}.{ours}", f"{torch}.conv{i + 1}", bias=True)
    for ours, theirs in (("down", "se_fc1"), ("up", "se_fc2")):
        links += linear(f"{jax}.gate.{ours}", f"{torch}.{theirs}")
    return links


def _convolution(jax: str, torch: str, bias: bool) -> list[Link]:
    links = [Link(f"{jax}.kernel", f"{torch}.conv.weight", axes=CONVOLUTION)]
    return links + ([Link(f"{jax}.bias", f"{torch}.conv.bias")] if bias else [])


def _norm(jax: str, torch: str) -> list[Link]:
    return [
        *norm(jax, torch),
        Link(f"{jax}.mean", f"{torch}.running_mean"),
        Link(f"{jax}.variance", f"{torch}.running_var"),
    ]
