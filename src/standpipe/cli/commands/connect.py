"""`standpipe connect NAME`: the door for the coding agent people already use."""

from argparse import Namespace

from standpipe.errors import UsageError


def connect(options: Namespace) -> int:
    """Say that this door is not there yet."""
    del options
    raise UsageError(
        "`connect` is not in this version yet", hint="`standpipe run` and `standpipe demo` are"
    )
