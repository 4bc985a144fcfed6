"""Names and layouts of an EfficientNet's weights in PyTorch: those of DeepECG-SL's checkpoints.

Running means and variances are weights like any other. PyTorch also counts the batches that each
norm has averaged (``num_batches_tracked``, int64), though it uses the count only where the momentum
is None, which it never is here; ``batches`` carries the counts, so nothing is lost on either way.
"""

from deepecg_jax.interop.links import CONVOLUTION, MATRIX, Link, head_links, norm
from deepecg_jax.models.efficientnet.shape import EfficientNetShape, Stage
from deepecg_jax.models.heads import HeadConfig


def efficientnet_links(config: EfficientNetShape, head: HeadConfig | None) -> list[Link]:
    """Links of an `EfficientNetEncoder` (``head=None``) or of its classifier.

    The encoder's names in PyTorch are the same in both: the original has no module for it.
    """
    links = _normed("stem", "initial_conv.0", "initial_conv.1.norm")
    n_in, j = config.stem_width, 0
    for stage in config.stages:
        for _ in range(stage.depth):
            links += _block(f"blocks.{j}", f"features.{j}", stage, n_in)
            n_in, j = stage.width, j + 1
    links += [
        *_normed("tail", "final_conv", "final_norm.norm"),
        Link("tail.bias", "final_conv.bias"),
    ]
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
    return links + head_links(head, config.width, "classifier.3", "classifier")


def _block(jax: str, torch: str, stage: Stage, n_in: int) -> list[Link]:
    """One fused or inverted block and its gate."""

    def normed(ours: str, theirs: str, kernel: Link | None = None) -> list[Link]:
        place = f"{torch}.{theirs}_conv"
        return _normed(f"{jax}.{ours}", f"{place}.0", f"{place}.1.norm", kernel)

    inner = stage.width
    links = []
    if stage.block == "fused":
        links += normed("conv", "fused")
    else:
        inner = n_in * stage.expansion
        kernel = Link(
            f"{jax}.depthwise.kernel",
            f"{torch}.depthwise_conv.0.weight",
            axes=MATRIX,
            shape=(inner, 1, stage.kernel),
        )
        if stage.expansion > 1:
            links += normed("expand", "expand")
        links += normed("depthwise", "depthwise", kernel) + normed("project", "project")
    reduced = max(inner // stage.reduction, 1)
    for ours, theirs, shape in (
        ("down", "1", (reduced, inner, 1)),
        ("up", "3", (inner, reduced, 1)),
    ):
        # a linear layer here, a convolution of one tap there
        place = f"{jax}.gate.{ours}", f"{torch}.se.se.{theirs}"
        links.append(Link(f"{place[0]}.kernel", f"{place[1]}.weight", axes=MATRIX, shape=shape))
        links.append(Link(f"{place[0]}.bias", f"{place[1]}.bias"))
    return links


def _normed(jax: str, torch: str, torch_norm: str, kernel: Link | None = None) -> list[Link]:
    """A convolution and its batch normalisation."""
    return [
        kernel or Link(f"{jax}.kernel", f"{torch}.weight", axes=CONVOLUTION),
        *norm(f"{jax}.norm", torch_norm),
        Link(f"{jax}.norm.mean", f"{torch_norm}.running_mean"),
        Link(f"{jax}.norm.variance", f"{torch_norm}.running_var"),
    ]
