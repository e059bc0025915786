"""The command line: each command parses, calls the library, and presents.  The only place that prints or exits.

Exit codes: 0 done, 1 failed (the reason is on stderr), 2 wrong usage, 130 interrupted.  A reader of the output that has
enough, such as ``head``, is no failure.
"""

from __future__ import annotations

import atexit
import gc
import logging
import sys
import warnings
from typing import Annotated

import typer

from mmsearch.cli import (
    ask,
    backup,
    calibrate,
    caption,
    duplicates,
    evaluate,
    explain,
    exporting,
    index,
    library_map,
    mcp,
    models,
    query,
    reindex,
    remove,
    serve,
    status,
    streams,
    tag,
    train,
    train_reranker,
    verify,
    watch,
)
from mmsearch.cli.advice import worded
from mmsearch.cli.command_group import CommandGroup
from mmsearch.cli.query_command import QueryCommand
from mmsearch.errors import MMSearchError, PatternError, QueryError, QuerySyntaxError

app = typer.Typer(
    name="mmsearch",
    cls=CommandGroup,
    help="Find your own pictures by what is in them.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("index")(index.command)
app.command("query", cls=QueryCommand)(query.command)
app.command("caption")(caption.command)
app.command("ask")(ask.command)
app.command("explain")(explain.command)
app.command("tag")(tag.command)
app.command("duplicates")(duplicates.command)
app.command("map")(library_map.command)
app.command("status")(status.command)
app.command("reindex")(reindex.command)
app.command("verify")(verify.verify)
app.command("repair")(verify.repair)
app.command("remove")(remove.command)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("export")(exporting.export_command)
app.command("import")(exporting.import_command)
app.command("calibrate")(calibrate.command)
app.command("models")(models.command)
app.command("eval")(evaluate.command)
app.command("train")(train.command)
app.command("train-reranker")(train_reranker.command)
app.command("watch")(watch.command)
app.command("serve")(serve.command)
app.command("mcp")(mcp.command)


def _version(wanted: bool) -> None:
    if wanted:
        from mmsearch import __version__

        print(f"mmsearch {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Find your own pictures by what is in them."""


class _Lines(logging.Handler):
    """What the library logs, as plain lines on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        if isinstance(record.args, tuple):
            record.args = tuple(worded(arg) if hasattr(arg, "code") else arg for arg in record.args)
        print(streams.escaped(record.getMessage(), lines=False), file=sys.stderr, flush=True)


def main() -> None:
    """Run the command line and exit."""
    # What is imported stays: looking for garbage among it, while it grows and at the end, took an eighth of a query.
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)
    warnings.filterwarnings("ignore", module="PIL")  # of damaged metadata; what cannot be read is reported as skipped
    streams.guard()
    logger = logging.getLogger("mmsearch")
    logger.setLevel(logging.INFO)
    logger.addHandler(_Lines())
    try:
        try:
            app()
        except SystemExit as stop:
            if isinstance(stop.__context__, BrokenPipeError) and streams.reader_gone():  # click ends with 1 then
                sys.exit(0)
            raise
        finally:
            streams.flush()
    except QuerySyntaxError as error:
        _fail(worded(error), 2, lines=error.column is not None)
    except PatternError as error:
        _fail(worded(error), 2)
    except MMSearchError as error:
        _fail(worded(error), lines=isinstance(error, QueryError) and error.column is not None)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}")


def _fail(message: str, code: int = 1, lines: bool = False) -> None:
    """Exit with a message, on one line but where it points into the query below."""
    print(streams.escaped(f"mmsearch: {message}", lines=lines), file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
