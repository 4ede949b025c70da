"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|FILE",
        help="A shipped model, or a model file; auto chooses by damage.",
    ),
]
Backend = Annotated[
    str, typer.Option("--backend", metavar="NAME", help="auto, openvino, onnxruntime or torch.")
]
Precision = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="NAME",
        help="auto, fp32, fp16 or int8; auto is int8 for a shipped model where it is faster.",
    ),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        "--max-memory",
        metavar="SIZE",
        help="Working memory, as 512MiB or 2GiB. (default: half of what is free)",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, metavar="N", help="CPU threads. (default: all cores)"),
]
License = Annotated[
    str,
    typer.Option(
        "--license",
        "--licence",
        metavar="NAME",
        help="Terms of the pictures, for the model's card.",
    ),
]
Json = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar="[FILE]",
        help="Write the result as JSON: to FILE (.json), else to standard output.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]
InPlace = Annotated[
    bool,
    typer.Option("--in-place", help="Replace the input itself, once the new picture is whole."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]

Scale = Annotated[
    float | None,
    typer.Option(
        "--scale", "-s", metavar="X", help="Factor for both sides, above 1 up to 16. (default: 4)"
    ),
]
Width = Annotated[
    int | None,
    typer.Option("--width", metavar="N", help="Width in px; the height follows, or --height."),
]
Height = Annotated[
    int | None,
    typer.Option("--height", metavar="N", help="Height in px; the width follows, or --width."),
]
Fit = Annotated[
    str | None, typer.Option("--fit", metavar="WxH", help="Largest size that fits in this box.")
]
Restore = Annotated[
    bool, typer.Option("--restore", help="Keep the size: run the network on it as it is.")
]

Compression = Annotated[
    str | None,
    typer.Option(
        "--compression",
        metavar="NAME",
        help="Of TIFF: none, lzw, deflate or jpeg. (default: deflate; from 100 Mpixel on lzw)",
    ),
]
Tiled = Annotated[
    bool, typer.Option("--tiled", help="TIFF in tiles, not strips; always from 100 Mpixel on.")
]
Pyramid = Annotated[
    bool, typer.Option("--pyramid", help="TIFF with smaller versions behind it, tiled.")
]
Resume = Annotated[
    bool | None,
    typer.Option(
        "--resume/--no-resume",
        show_default=False,
        help="Keep finished strips on the disk until the picture is whole, and go on from"
        " them (default: from 100 Mpixel on). A folder always goes on from what is done.",
    ),
]
OutputFormat = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="png, jpeg, webp, tiff, avif, gif or dz (Deep Zoom). (default: by suffix)",
    ),
]
Quality = Annotated[
    int | None,
    typer.Option(
        "--quality",
        metavar="N",
        help="1..100. (default: JPEG 95, AVIF and Deep Zoom 90, WebP lossless)",
    ),
]
