"""The command line."""

from pskd.cli.app import main

__all__ = ["main"]
