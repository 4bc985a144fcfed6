"""Ctrl-C where a command has nothing to save ends with a sentence, not with a traceback."""

import subprocess
import sys


def test_ctrl_c_ends_with_a_sentence():
    code = (
        "import sys\n"
        "from deepecg_jax.cli import main\n"
        "@main.app.command('wait')\n"
        "def wait() -> None:\n"
        "    raise KeyboardInterrupt\n"
        "sys.argv = ['deepecg', 'wait']\n"
        "main.main()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 130
    assert ended.stderr == "interrupted before anything was saved\n"
