"""A table, as aligned text, as Markdown and as HTML."""

from __future__ import annotations

import html
from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Rows of cells under headings.

    Attributes:
        heads: of the columns.
        rows: each with a cell for every column.
        left: the columns, by index, that hold words; the others hold numbers, and are
            aligned to the right.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: Collection[int] = (0,)

    def text(self) -> str:
        """Aligned lines, without a newline at the end."""
        lines = [self.heads, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if i in self.left else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        )

    def markdown(self) -> str:
        """For a page of documentation, without a newline at the end."""
        lines = [self.heads, ["---"] * len(self.heads), *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def html(self) -> str:
        """A `<table>`, for the page of `vdsr.report.page`."""
        heads = "".join(f"<th>{html.escape(head)}</th>" for head in self.heads)
        rows = "".join(
            "<tr>"
            + "".join(
                f"<td{'' if i in self.left else ' class=n'}>{html.escape(cell)}</td>"
                for i, cell in enumerate(row)
            )
            + "</tr>"
            for row in self.rows
        )
        return f"<table><tr>{heads}</tr>{rows}</table>"
