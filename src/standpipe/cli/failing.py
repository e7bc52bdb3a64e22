"""What fails, as lines for a terminal: the sites of a home, and one answer of `failures classify`.

Rule 1: what is open stands on top and is told in full; of what is over, one line each, and not all.
"""

import os.path
from collections.abc import Iterator, Sequence

from standpipe.cli.render import Lines, command_text, row_lines
from standpipe.desk.inert import inert
from standpipe.desk.judging import Judgement
from standpipe.desk.phrases import span
from standpipe.desk.sections import Row, answer_command
from standpipe.desk.sentences import Tone
from standpipe.desk.sites import KnownCall, KnownHost, KnownSite, Overview
from standpipe.journal.causes import helps
from standpipe.journal.tried import times

RESOLVED_SHOWN = 20
_ID_CHARACTERS_MIN = 4
_KIND_WIDTH = 13
_TONES = {
    "open": Tone.BAD,
    "half_open": Tone.PERSON,
    "counting": Tone.CARE,
    "resolved": Tone.GOOD,
}
