"""The two consoles every command prints through."""

from rich.console import Console

console = Console()
err = Console(stderr=True)
