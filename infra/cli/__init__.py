"""The command line, `tidings`. What a command needs is imported when it runs, so `--help` starts at once."""

from infra.cli.app import main

__all__ = ["main"]
