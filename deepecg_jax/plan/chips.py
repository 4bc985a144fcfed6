"""What is published of the TPU chips: memory, speed, links."""

from typing import NamedTuple

from deepecg_jax.errors import UserError

GIB = 1024**3


class Chip(NamedTuple):
    """One chip, which is one device of JAX.

    Attributes:
        name: as a topology names it.
        hbm_bytes: memory that XLA:TPU lets a program use (its out-of-memory answers name it; some
            hundred MiB less than the published size).
        peak: bfloat16 FLOP/s.
        clock: cycles a second, what XLA:TPU's estimates are divided by.
        hbm_bandwidth: bytes/s.
        link_bandwidth: bytes/s of one inter-chip link in one direction.
        links: inter-chip links of a chip.
        network_bandwidth: bytes/s of a chip's share of the data-centre network, between slices.
        config: libtpu's name of the setting in which both cores of a chip are one device; None: a
            chip has one core, or that is the default.
        calibration: XLA:TPU's estimate over the bound (the larger of FLOPs over peak and bytes over
            bandwidth) of three plain operations: a bfloat16 product of 8192 x 8192 by 8192 x 8192,
            one of 4992 x 768 by 768 x 3072, a float32 sum of two 256 MB arrays. Compiled with
            libtpu 0.0.50; nothing was run.
    """

    name: str
    hbm_bytes: int
    peak: float
    clock: float
    hbm_bandwidth: float
    link_bandwidth: float
    links: int
    network_bandwidth: float
    config: str | None
    calibration: tuple[float, float, float]


# peak, HBM, interconnect and network: cloud.google.com/tpu/docs/v4, v5e, v5p, v6e (a chip's
# interconnect, one direction: v4 2,400, v5e 1,600, v5p 4,800, v6e 3,584 Gbit/s, over its links; the
# network: a pod's or a host's, over its chips). clock: peak over the FLOPs a cycle of the matrix
# units, 2 x 128 x 128 each, of which v4 and v5p have 8 and v5e 4. v6e's is published nowhere and
# taken to be v5p's: twice that, which the rule gives, would make a plain product faster than peak.
CHIPS: dict[str, Chip] = {
    chip.name: chip
    for chip in (
        Chip(
            name="v4",
            hbm_bytes=int(30.75 * GIB),
            peak=275e12,
            clock=1.05e9,
            hbm_bandwidth=1228e9,
            link_bandwidth=50e9,
            links=6,
            network_bandwidth=6.25e9,
            config="megacore",
            calibration=(1.08, 1.33, 1.47),
        ),
        Chip(
            name="v5e",
            hbm_bytes=int(15.75 * GIB),
            peak=197e12,
            clock=1.5e9,
            hbm_bandwidth=819e9,
            link_bandwidth=50e9,
            links=4,
            network_bandwidth=3.125e9,
            config=None,
            calibration=(1.14, 1.34, 1.74),
        ),
        Chip(
            name="v5p",
            hbm_bytes=int(95.73 * GIB),
            peak=459e12,
            clock=1.75e9,
            hbm_bandwidth=2765e9,
            link_bandwidth=100e9,
            links=6,
            network_bandwidth=6.25e9,
            config=None,
            calibration=(1.11, 1.19, 2.24),
        ),
        Chip(
            name="v6e",
            hbm_bytes=int(31.24 * GIB),
            peak=918e12,
            clock=1.75e9,
            hbm_bandwidth=1640e9,
            link_bandwidth=112e9,
            links=4,
            network_bandwidth=12.5e9,
            config=None,
            calibration=(1.42, 2.73, 2.26),
        ),
    )
}


def chip_named(name: str) -> Chip:
    """The chip; UserError with those that are known."""
    if name not in CHIPS:
        raise UserError(
            f"{name!r} is no TPU chip that `deepecg plan` knows; there are {', '.join(CHIPS)}."
        )
    return CHIPS[name]
