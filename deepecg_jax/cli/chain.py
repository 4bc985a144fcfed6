"""Several commands one after another in one process: what a job of a sweep does.

python -m deepecg_jax.cli.chain FOLDER '[["finetune", "CONFIG"], ["predict", ...]]'
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path


def run_commands(commands: Sequence[Sequence[str]]) -> int:
    """Run ``deepecg`` with each of the lists of arguments until one fails; its exit code, or 0.

    Errors are printed with their traceback, because this is for a log.
    """
    from deepecg_jax.cli.main import main

    before = sys.argv
    try:
        for arguments in commands:
            sys.argv = ["deepecg", *arguments, "--debug"]
            try:
                main()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
                if code:
                    return code
    finally:
        sys.argv = before
    return 0


if __name__ == "__main__":
    from deepecg_jax.sweep.work.attempts import attempt

    with attempt(Path(sys.argv[1])):
        _code = run_commands(json.loads(sys.argv[2]))
    sys.exit(_code)
