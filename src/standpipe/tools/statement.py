"""The form of an agent-written statement: one SELECT, and no value written into it.

This is no defence by itself (`tools/sql.py` has that): it keeps values out of SQL text, so that text
from a mail is always a bound value, and says early and plainly what to write instead.
"""

import re
from collections.abc import Iterator

from msgspec import Struct

_TOKEN = re.compile(
    r"""(?P<blank>\s+)
    |(?P<comment>--|/\*)
    |(?P<string>[xX]?'(?:[^']|'')*'?|"(?:[^"]|"")*"?)
    |(?P<name>[A-Za-z_\x80-\U0010ffff][\w$]*|`[^`]*`|\[[^\]]*\])
    |(?P<parameter>\?\d*)
    |(?P<number>\.?\d[\w.]*)
    |(?P<end>;)
    |(?P<sign>.)""",
    re.VERBOSE | re.DOTALL,
)
_LENGTH_MAX = 20_000


class _Token(Struct, frozen=True):
    kind: str
    text: str


def refuse_agent_written(sql: str) -> None:
    """Refuse what is not one SELECT without literals.

    Raises:
        ValueError: with what to write instead.
    """
    if len(sql) > _LENGTH_MAX or "\0" in sql:
        raise ValueError(f"the statement is longer than {_LENGTH_MAX} characters, or holds a NUL")
    tokens = list(_tokens(sql))
    if not tokens or tokens[0].text.lower() not in ("select", "with"):
        raise ValueError(
            "sql_query runs SELECT only\nhint: changes go through sql_template and sql/NAME.sql"
        )
    previous: list[_Token] = []
    for token in tokens:
        _refuse(token, previous)
        previous.append(token)


def _tokens(sql: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(sql):
        if match.lastgroup and match.lastgroup != "blank":
            yield _Token(match.lastgroup, match[0])


def _refuse(token: _Token, previous: list[_Token]) -> None:
    if previous and previous[-1].kind == "end":
        raise ValueError("there is more than one statement\nhint: send one at a time")
    match token.kind:
        case "comment":
            raise ValueError(
                "the statement holds a comment\nhint: say it in `why`, or leave it out"
            )
        case "string":
            raise ValueError(
                f"the statement holds the literal {token.text[:40]}\n"
                "hint: write ? there and the value in `params`; a name in quotes is written [name]"
            )
        case "number" if not _limits(previous):
            raise ValueError(
                f"the statement holds the number {token.text[:40]}\nhint: write ? there and the value in `params`"
            )
        case "name" if token.text.lower() in ("true", "false"):
            raise ValueError(
                f"the statement holds the literal {token.text}\nhint: write ? there and the value in `params`"
            )
        case _:
            return


def _limits(previous: list[_Token]) -> bool:
    """Whether a number stands where LIMIT and OFFSET take one."""
    before = [token.text.lower() for token in previous[-3:]]
    return before[-1] in ("limit", "offset") or (before[-1] == "," and before[0] == "limit")
