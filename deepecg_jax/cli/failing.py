"""How an exception becomes a sentence and an exit code."""

import sys
import traceback

from deepecg_jax.errors import StoppedBySignal, UserError


def debugging() -> bool:
    """Whether ``--debug`` stands anywhere on the command line."""
    return "--debug" in sys.argv


def explain(error: BaseException) -> tuple[str, int]:
    """What to print on stderr, and the exit code; with ``--debug`` also the traceback."""
    text, code = _sentence(error)
    if debugging():
        text = "".join(traceback.format_exception(error)) + text
    return text, code


def _sentence(error: BaseException) -> tuple[str, int]:
    if isinstance(error, UserError):
        return f"error: {error}", error.exit_code
    if isinstance(error, StoppedBySignal):
        return str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return "interrupted before anything was saved", 1
    # typer reports misuse through click's exceptions, whose module moved between versions
    describe = getattr(error, "format_message", None)
    if describe is not None:
        context = getattr(error, "ctx", None)
        hint = f"\nsee `{context.command_path} --help`" if context is not None else ""
        return f"error: {describe()}{hint}", 2
    return (
        f"unexpected failure: {type(error).__name__}: {error}\n"
        "run the command again with --debug for the traceback"
    ), 1
