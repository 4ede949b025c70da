"""The command line, put together. Each command loads its work when it is called."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Annotated

import typer

from vdsr.cli.benchmark import benchmark
from vdsr.cli.compare import compare
from vdsr.cli.console import ENDED, INTERRUPTED, command, json_argument, say
from vdsr.cli.doctor import doctor
from vdsr.cli.evaluate import evaluate
from vdsr.cli.export import export
from vdsr.cli.fetch import fetch
from vdsr.cli.folder import status
from vdsr.cli.help import Command, Group
from vdsr.cli.import_ import import_
from vdsr.cli.info import info
from vdsr.cli.pack import pack
from vdsr.cli.quantize import quantize
from vdsr.cli.serve import serve
from vdsr.cli.streams import flushed, is_unwritable, mute, open_closed_streams
from vdsr.cli.train import train
from vdsr.cli.upscale import upscale
from vdsr.cli.vacc import vacc
from vdsr.cli.verify import verify
from vdsr.cli.video import video

app = typer.Typer(
    name="vdsr",
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Enlarge pictures faithfully with VDSR: nothing is invented that cannot be shown.",
    epilog="Exit codes: 0 all done, 1 some inputs failed, 2 wrong usage, 130 interrupted.",
)
data_app = typer.Typer(
    name="data", cls=Group, no_args_is_help=True, help="Pictures to measure on and to train with."
)
app.add_typer(data_app)


def _version(wanted: bool) -> None:
    if wanted:
        from vdsr.version import __version__

        typer.echo(f"vdsr {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Enlarge pictures faithfully with VDSR: nothing is invented that cannot be shown."""


app.command(cls=Command)(command(upscale))
app.command(cls=Command)(command(video))
app.command(cls=Command)(command(status))
app.command(cls=Command)(command(compare))
app.command(cls=Command)(command(serve))
app.command(cls=Command)(command(verify))
app.command(cls=Command)(command(info))
app.command("import", cls=Command)(command(import_))
app.command(cls=Command)(command(export))
app.command(cls=Command)(command(evaluate))
app.command(cls=Command)(command(vacc))
app.command(cls=Command)(command(train))
app.command(cls=Command)(command(quantize))
app.command(cls=Command)(command(benchmark))
app.command(cls=Command)(command(doctor))
data_app.command(cls=Command)(command(fetch))
data_app.command(cls=Command)(command(pack))


def main() -> None:
    """Entry point of the command `vdsr`."""
    open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # File names that are not UTF-8 go out as they came in.
        sys.stdout.reconfigure(errors="surrogateescape")
    code = _run()
    lost = flushed(sys.stdout)
    flushed(sys.stderr)
    if lost is not None and code == 0:
        say(f"vdsr: error: standard output cannot be written: {lost.strerror}")
        code = 1
    if code in (INTERRUPTED, *ENDED):
        # An orderly end would wait for the tile in progress; files are cleared away already.
        os._exit(code)
    sys.exit(code)


def _run() -> int:
    """Run the command; gives its exit code."""
    try:
        app(args=json_argument(sys.argv[1:]))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except OSError as error:
        if not is_unwritable(error):
            raise
        # What is wrong with the command is known, though nobody can be told.
        wrong = getattr(error.__context__, "exit_code", None)
        if isinstance(wrong, int):
            mute(sys.stderr)
            return wrong
        if flushed(sys.stdout) is not None or error.errno != errno.EPIPE:
            say(f"vdsr: error: standard output cannot be written: {error.strerror}")
        mute(sys.stdout)
        return 1
    return 0


if __name__ == "__main__":
    main()
