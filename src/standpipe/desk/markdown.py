"""A report as Markdown: for a file, an issue, an e-mail."""

from collections.abc import Iterator

from standpipe.desk.inert import markdown
from standpipe.desk.report import Report
from standpipe.desk.sections import Row, page


def report_as_markdown(report: Report) -> str:
    """Return a report as Markdown in which nothing foreign can act."""
    laid = page(report)
    lines = [f"# {markdown(laid.head.text)}", ""]
    lines += [f"- {markdown(detail)}" for detail in laid.head.details]
    for section in laid.sections:
        lines += ["", f"## {section.title}", ""]
        lines += [line for row in section.rows for line in _item(row)]
    return "\n".join([*lines, ""])


def _item(row: Row) -> Iterator[str]:
    yield f"- {markdown(row.text)}"
    yield from (f"  - {markdown(detail)}" for detail in row.details)
    yield from (f"  - `{command}`" for command in row.commands)
