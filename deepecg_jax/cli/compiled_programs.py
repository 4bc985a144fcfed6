"""Compiled programs outlive the command: the step of a large encoder takes minutes to compile."""

import os
from pathlib import Path

from rich.console import Console

LEAST_SECONDS = 1.0  # programs that compile faster are not worth a file


def keep_compiled_programs(console: Console) -> None:
    """Let JAX store programs, and find them again when the same command resumes.

    In ``JAX_COMPILATION_CACHE_DIR`` if that is set, else in the user's cache folder
    (``XDG_CACHE_HOME``, or ``~/.cache``). A folder that cannot be written is said, and not used.
    """
    import jax

    if jax.config.values["jax_compilation_cache_dir"] is not None:
        return
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(root) / "deepecg_jax" / "xla"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        console.print(f"compiled programs are not kept: {folder} cannot be written ({error})")
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", LEAST_SECONDS)
