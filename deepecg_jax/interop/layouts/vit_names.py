"""Names and layouts of a patch transformer's weights in PyTorch.

They are those of timm's ``VisionTransformer`` where that has such a part: ``blocks.0.attn.qkv`` and
so on, queries, keys and values in one matrix.
"""

from deepecg_jax.interop.links import CONVOLUTION, MATRIX, Link, attention_head, linear
from deepecg_jax.models.heads import HeadConfig
from deepecg_jax.models.vit.shape import ViTShape


def vit_links(config: ViTShape, head: HeadConfig | None) -> list[Link]:
    """Links of a `ViTEncoder` (``head=None``) or of its classifier."""
    links = [
        Link("stem.kernel", "patch_embed.proj.weight", axes=CONVOLUTION),
        Link("mask_embedding", "mask_token", shape=(1, 1, config.width)),
        Link("register_token", "reg_token", shape=(1, 1, config.width)),
        Link("transformer.norm.scale", "norm.weight"),
    ]
    if config.biases:
        links.append(Link("stem.bias", "patch_embed.proj.bias"))
        links.append(Link("transformer.norm.bias", "norm.bias"))
    if config.patches == "per_lead":
        links.append(Link("lead_embedding", "lead_embed"))
    for i in range(config.layers):
        links += _layer(config, i)
    if head is None:
        return links
    links = [link.prefixed("encoder.", "encoder.") for link in links]
    if head.kind == "linear":
        return links + linear("head.projection", "head")
    return links + attention_head("head", config.width)


def _layer(config: ViTShape, i: int) -> list[Link]:
    """One transformer layer: slice ``i`` of the stacked arrays."""
    width, torch = config.width, f"blocks.{i}"
    attention = f"{torch}.attn.qkv.weight"
    # (D, 3, D) -> (3, D, D) -> (3 D, D)
    links = [
        Link("transformer.qkv_kernel", attention, (i,), axes=(1, 2, 0), shape=(3 * width, width))
    ]
    products = (("out", "attn.proj"), ("up", "mlp.fc1"), ("down", "mlp.fc2"))
    norms = (("attention_norm", "norm1"), ("ffn_norm", "norm2"))
    for part, place in products:
        links.append(
            Link(f"transformer.{part}_kernel", f"{torch}.{place}.weight", (i,), axes=MATRIX)
        )
    for part, place in norms:
        links.append(Link(f"transformer.{part}_scale", f"{torch}.{place}.weight", (i,)))
    if config.biases:
        links.append(
            Link("transformer.qkv_bias", f"{torch}.attn.qkv.bias", (i,), shape=(3 * width,))
        )
        for part, place in (*products, *norms):
            links.append(Link(f"transformer.{part}_bias", f"{torch}.{place}.bias", (i,)))
    return links
