"""What a plan does not know, said with it."""

from deepecg_jax.plan.chips import Chip
from deepecg_jax.plan.timing import KERNEL_FACTOR


def limits_of(chip: Chip, slices: int) -> list[str]:
    """Sentences, the most important first."""
    large, small, memory = chip.calibration
    found = [
        "Nothing was run: times are XLA:TPU's own estimates, made to choose between programs. "
        "Compare plans with each other, and do not quote milliseconds.",
        f"Calibrated on plain operations for {chip.name}, an estimate is {large:.2f} (a large "
        f"product) to {small:.2f} times (a small one) what peak and bandwidth allow, and "
        f"{memory:.2f} times for a sum limited by memory, so MFU errs towards too little.",
        "Left out: operations without an estimate (copies, reshapes, sorts, random bits; bounded "
        "apart), reading data, checkpoints, validation, and waiting for the slowest device.",
        "Collectives are best cases: all links that a group can use are busy, in both directions, "
        "without latency or congestion.",
        f"Kernels of Pallas carry no estimate: the larger of their FLOPs over peak and bytes over "
        f"bandwidth, times {KERNEL_FACTOR:g}.",
    ]
    if chip.name == "v6e":
        found.append(
            "The clock of v6e is not published; 1.75 GHz is assumed, which scales its times."
        )
    if slices > 1:
        found.append(
            "Between slices only messages are counted, at each chip's share of the network; the "
            "host's part of sending them is not."
        )
    return found
