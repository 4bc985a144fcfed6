"""The two ways in which a command ends early on purpose."""


class UserError(Exception):
    """Bad input or usage: one sentence that says what, where and what to do (exit code 2)."""

    exit_code = 2


class StoppedBySignal(Exception):
    """SIGTERM or SIGINT arrived; the state is saved and the same command resumes (exit code 3)."""

    exit_code = 3
