"""One line for a trial."""

from failures_lab.reckoning import Row

WIDTHS = (14, 7, 7, 10, 7, 6, 7, 9, 9, 15, 5, 6)
NAMES = (
    "peer", "style", "calls", "tokens", "hits", "dup", "inside", "recovers", "visible", "end",
    "true", "cause",
)  # fmt: skip


def heading() -> str:
    return _joined(NAMES)


def line(row: Row) -> str:
    bound = "> " if row.capped else ""
    end = row.end if row.ended_seconds is None else f"{row.end} {row.ended_seconds:.1f}"
    return _joined((
        row.peer,
        row.style,
        f"{bound}{row.model_calls}",
        f"{bound}{short(row.prompt_tokens)}",
        f"{bound}{row.hits}",
        f"{bound}{row.duplicates}" if row.duplicates else "0",
        str(row.inside_retry_after),
        "-" if row.recovered_seconds is None else f"{row.recovered_seconds:+.2f}",
        "never" if row.visible_seconds is None else f"{row.visible_seconds:.2f}",
        end,
        "yes" if row.truthful else "NO",
        "-" if row.cause is None else "yes" if row.cause else "NO",
    ))  # fmt: skip


def short(number: float) -> str:
    """Write a count as people do: 950, 14.3k, 2.0M."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return f"{number:g}"


def _joined(cells: tuple[str, ...]) -> str:
    left = {0, 1, 9}  # words; the rest are numbers
    spaced = (
        f" {cell:<{width}}" if place in left else f" {cell:>{width}}"
        for place, (cell, width) in enumerate(zip(cells, WIDTHS, strict=True))
    )
    return "".join(spaced).rstrip()
