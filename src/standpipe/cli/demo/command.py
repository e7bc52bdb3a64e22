"""`standpipe demo`: where it is shown and kept."""

import sys
from argparse import Namespace
from pathlib import Path

from standpipe.cli.demo.story import main
from standpipe.cli.terminal import coloured, is_terminal


def demo(options: Namespace) -> int:
    """Play the demo on stdout; a person is asked only where one sits at both ends."""
    there = is_terminal(sys.stdin) and is_terminal(sys.stdout)
    keep = Path(options.keep) if options.keep else None
    return main(keep=keep, interactive=there, colour=coloured(sys.stdout), out=sys.stdout)
