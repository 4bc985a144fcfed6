"""XLA's flags for tests: small models and many programs, so the time to compile is what counts."""

from importlib.metadata import version

QUICK = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
if version("jaxlib").startswith("0.10."):  # a flag that XLA does not know ends the process
    QUICK += " --xla_cpu_use_fusion_emitters=false"
"""Halves the seconds of compiling; numbers stay within the tolerances of every test."""
EIGHT_DEVICES = f"--xla_force_host_platform_device_count=8 {QUICK}"
"""The same with eight devices in place of one."""
