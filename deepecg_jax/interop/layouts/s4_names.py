"""Names and layouts of an S4 encoder's weights in PyTorch: those of ``templates/torch_s4.py``.

What is not trained (running statistics, and the state spaces' constants) is a weight like any other
here and a buffer there.
"""

from deepecg_jax.interop.links import CONVOLUTION, MATRIX, Link, attention_head, linear, norm
from deepecg_jax.models.heads import HeadConfig
from deepecg_jax.models.s4.shape import S4Shape

_SPACE = ("log_step", "log_decay", "frequency", "input", "output", "skip")


def s4_links(config: S4Shape, head: HeadConfig | None) -> list[Link]:
    """Links of an `S4Encoder` (``head=None``) or of its classifier."""
    links = [Link("mask_embedding", "mask_embedding")]
    for i in range(len(config.conv_layers)):
        place = f"stem.{i}.norm"
        links += [
            Link(f"stem.kernels.{i}", f"stem.{i}.conv.weight", axes=CONVOLUTION),
            *norm(f"stem.norms.{i}", place),
            Link(f"stem.norms.{i}.mean", f"{place}.running_mean"),
            Link(f"stem.norms.{i}.variance", f"{place}.running_var"),
        ]
    names = (*_SPACE, "low_rank") if config.kernel == "nplr" else _SPACE
    for i in range(config.layers):
        layer = f"layers.{i}"
        links += [
            *(Link(f"{layer}.space.{name}", f"{layer}.space.{name}") for name in names),
            Link(f"{layer}.mix_kernel", f"{layer}.mix.weight", axes=MATRIX),
            Link(f"{layer}.mix_bias", f"{layer}.mix.bias"),
            *norm(f"{layer}.norm", f"{layer}.norm"),
        ]
    if head is None:
        return links
    links = [link.prefixed("encoder.", "encoder.") for link in links]
    if head.kind == "linear":
        return links + linear("head.projection", "proj")
    return links + attention_head("proj", config.width)
