"""Write docs/results.md from what `vdsr evaluate --json` measured.

    python benchmarks/results_page.py

`results_commands.txt` has the commands that made the records, each ending in the file's name,
`results_notes.md` what follows the tables. Rows of several files stand in one table. Published
figures stand beside those of their protocol, with their source.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from machine import RECORDS

PAGE = RECORDS.parent.parent / "docs" / "results.md"
COMMANDS = RECORDS.parent / "results_commands.txt"
NOTES = RECORDS.parent / "results_notes.md"
PROTOCOLS = {
    "paper": "luma of the original rounded to 8 bits, output and bicubic rounded to 8 bits",
    "float": "nothing rounded",
    "file": "an 8-bit RGB file in, an 8-bit RGB file out, PSNR and SSIM of their luma",
}
# Printed by others, dB and SSIM by (dataset, scale). Kim et al., CVPR 2016, tables 3 and 4,
# for SRCNN and VDSR; pytorch-vdsr's README gives no SSIM.
PUBLISHED: dict[str, dict[str, dict[tuple[str, int], tuple[float, float | None]]]] = {
    "paper": {
        "SRCNN, printed by Kim et al.": {
            ("Set5", 2): (36.66, 0.9542),
            ("Set5", 3): (32.75, 0.9090),
            ("Set5", 4): (30.48, 0.8628),
            ("Set14", 2): (32.42, 0.9063),
            ("Set14", 3): (29.28, 0.8209),
            ("Set14", 4): (27.49, 0.7503),
        },
        "VDSR, printed by Kim et al.": {
            ("Set5", 2): (37.53, 0.9587),
            ("Set5", 3): (33.66, 0.9213),
            ("Set5", 4): (31.35, 0.8838),
            ("Set14", 2): (33.03, 0.9124),
            ("Set14", 3): (29.77, 0.8314),
            ("Set14", 4): (28.01, 0.7674),
        },
    },
    "float": {
        "pytorch-vdsr, printed in its README": {
            ("Set5", 2): (37.65, None),
            ("Set5", 3): (33.77, None),
            ("Set5", 4): (31.45, None),
        },
    },
}
# Of `restore-jpeg` on classic5, by quality, PSNR of luma in dB: Dong et al., ICCV 2015, table 2,
# and Zhang et al., TIP 2017, table IV.
RESTORED = {
    "AR-CNN, printed by Dong et al.": {10: 29.03, 20: 31.15, 30: 32.51, 40: 33.34},
    "DnCNN-3, printed by Zhang et al.": {10: 29.40, 20: 31.63, 30: 32.91, 40: 33.77},
}
HEAD = """# Results

Mean PSNR in dB / SSIM. Every table is one protocol; figures of different protocols cannot be \
compared. [Evaluation](evaluation.md) defines them. Evaluation pictures are never trained on, \
and no weights were chosen by them. Made by

    {commands}
    python benchmarks/results_page.py

with the datasets in `data/eval/`.
"""


def cell(psnr: float, ssim: float | None) -> str:
    return f"{psnr:.2f}" if ssim is None else f"{psnr:.2f} / {ssim:.4f}"


def table(rows: Iterable[dict[str, Any]], protocol: str) -> str:
    """One protocol: a column for every dataset and scale, a row for every model."""
    here = [row for row in rows if row["protocol"] == protocol]
    columns = list(dict.fromkeys((row["dataset"], row["scale"]) for row in here))
    columns.sort(key=lambda column: ("Set5", "Set14").index(column[0]) * 10 + column[1])
    lines = [
        "| | " + " | ".join(f"{dataset} x{scale}" for dataset, scale in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    found: dict[str, dict[tuple[str, int], str]] = {}
    for row in here:
        name = row["model"] if row["precision"] is None else f"`{row['model']}`"
        figures = found.setdefault(name, {})
        figures[row["dataset"], row["scale"]] = cell(row["psnr"], row["ssim"])
    for name, printed in PUBLISHED.get(protocol, {}).items():
        found[name] = {column: cell(*figures) for column, figures in printed.items()}
    for name, cells in found.items():
        lines.append(f"| {name} | " + " | ".join(cells.get(c, "") for c in columns) + " |")
    return "\n".join(lines)


def damaged(rows: Iterable[dict[str, Any]]) -> str:
    """Protocols of damage: a row for every damage, a column for every model, dB and gain."""
    page = ""
    here = [row for row in rows if ":" in row["protocol"]]
    for dataset, scale in dict.fromkeys((row["dataset"], row["scale"]) for row in here):
        of_it = [row for row in here if (row["dataset"], row["scale"]) == (dataset, scale)]
        models = list(dict.fromkeys(row["model"] for row in of_it))
        printed = RESTORED if (dataset, scale) == ("classic5", 1) else {}
        names = [models[0], *(f"`{model}`" for model in models[1:]), *printed]
        page += f"\n### {dataset}, {f'x{scale}' if scale > 1 else 'restored'}\n\n"
        page += f"| | {' | '.join(names)} |\n{'|---' * (len(names) + 1)}|\n"
        for protocol in dict.fromkeys(row["protocol"] for row in of_it):
            found = {row["model"]: row["psnr"] for row in of_it if row["protocol"] == protocol}
            nothing = found[models[0]]
            cells = [f"{nothing:.2f}"]
            for model in models[1:]:
                gain = round(found[model], 2) - round(nothing, 2)
                cells.append(f"{found[model]:.2f} ({gain:+.2f})")
            quality = int(protocol.partition(":")[2])
            cells += [f"{figures[quality]:.2f}" for figures in printed.values()]
            page += f"| `{protocol}` | {' | '.join(cells)} |\n"
    return page


def main() -> None:
    """Write the page."""
    commands = COMMANDS.read_text("utf-8").splitlines()
    paths = [RECORDS / command.rpartition("/")[2] for command in commands]
    rows = [row for path in paths for row in json.loads(path.read_text("utf-8"))]
    page = HEAD.format(commands="\n    ".join(commands))
    for protocol, about in PROTOCOLS.items():
        if any(row["protocol"] == protocol for row in rows):
            page += f"\n## `{protocol}`: {about}\n\n{table(rows, protocol)}\n"
    if any(":" in row["protocol"] for row in rows):
        page += "\n## JPEGs and noise: PSNR of luma, and what it gains over doing nothing\n"
        page += damaged(rows)
    page += "\n" + NOTES.read_text("utf-8")
    PAGE.write_text(page, encoding="utf-8")
    print(f"written: {PAGE}")


if __name__ == "__main__":
    main()
