"""Tables for terminals and for notebooks."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


def text_table(titles: Sequence[str], rows: Iterable[Sequence[str]], words: Sequence[str]) -> str:
    """Columns two blanks apart: those titled in words to the left, numbers to the right."""
    table = [titles, *rows]
    widths = [max(map(len, column)) for column in zip(*table)]
    lines = []
    for row in table:
        cells = [
            cell.ljust(width) if title in words else cell.rjust(width)
            for title, cell, width in zip(titles, row, widths)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def html_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """As notebooks style it."""

    def line(tag: str, cells: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(line("td", row) for row in rows)
    return f"<table><thead>{line('th', titles)}</thead><tbody>{body}</tbody></table>"
