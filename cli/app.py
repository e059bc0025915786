"""The command line: each command parses, calls the library, and presents.  The only place that prints or exits.

Exit codes: 0 done, 1 failed (the reason is on stderr), 2 wrong usage, 130 interrupted.  A reader of the output that has
enough, such as ``head``, is no failure.
"""

from __future__ import annotations

import atexit
import copy
import gc
import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from mmsearch.cli import (
    ask,
    backup,
    calibrate,
    caption,
    cluster_index,
    cluster_moving,
    cluster_reconcile,
    completion,
    doctor,
    duplicates,
    evaluate,
    explain,
    exporting,
    imagine,
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
from mmsearch.cli.command_group import CommandGroup, joined
from mmsearch.cli.command_help import ABOUT, HelpedCommand
from mmsearch.cli.hidden_password import hide_password
from mmsearch.cli.query_command import QueryCommand
from mmsearch.errors import MMSearchError, PatternError, QueryError, QuerySyntaxError

app = typer.Typer(
    name="mmsearch",
    cls=CommandGroup,
    help="Find your own pictures by what is in them.",
    context_settings={"help_option_names": ["--help", "-h"]},
    add_completion=False,  # ours completes fields and tags too: ``completion``
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
# In the order in which ``--help`` lists them.
COMMANDS: dict[str, Callable[..., None]] = {
    "query": query.command,
    "ask": ask.command,
    "caption": caption.command,
    "explain": explain.command,
    "imagine": imagine.command,
    "serve": serve.command,
    "mcp": mcp.command,
    "index": index.command,
    "watch": watch.command,
    "tag": tag.command,
    "duplicates": duplicates.command,
    "map": library_map.command,
    "status": status.command,
    "doctor": doctor.command,
    "verify": verify.verify,
    "repair": verify.repair,
    "remove": remove.command,
    "backup": backup.backup,
    "restore": backup.restore,
    "export": exporting.export_command,
    "import": exporting.import_command,
    "completion": completion.command,
    "cluster index": cluster_index.command,
    "cluster import": cluster_moving.import_command,
    "cluster export": cluster_moving.export_command,
    "cluster reconcile": cluster_reconcile.command,
    "models": models.command,
    "reindex": reindex.command,
    "calibrate": calibrate.command,
    "eval": evaluate.command,
    "train": train.command,
    "train-reranker": train_reranker.command,
}
for _name, _function in COMMANDS.items():
    _group, _said, _ = ABOUT[_name]
    _class = QueryCommand if _name == "query" else HelpedCommand
    app.command(_name, cls=_class, short_help=_said, rich_help_panel=_group)(_function)


def _version(wanted: bool) -> None:
    if wanted:
        from mmsearch import __version__

        print(f"mmsearch {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def common(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Find your own pictures by what is in them."""
    if context.invoked_subcommand is None:
        from mmsearch.cli.welcome import welcome

        welcome()


class _Lines(logging.Handler):
    """What the library logs, as plain lines on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        if isinstance(record.args, tuple):
            record.args = tuple(worded(arg) if hasattr(arg, "code") else arg for arg in record.args)
        print(streams.escaped(record.getMessage(), lines=False), file=sys.stderr, flush=True)


def main() -> None:
    """Run the command line and exit."""
    hide_password()
    # What is imported stays: looking for garbage among it, while it grows and at the end, took an eighth of a query.
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)
    warnings.filterwarnings("ignore", module="PIL")  # of damaged metadata; what cannot be read is reported as skipped
    streams.guard()
    if instruction := os.environ.get(completion.VARIABLE):
        from mmsearch.cli import shells

        sys.stdout.write(shells.answer(app, instruction, os.environ))
        sys.exit()
    logger = logging.getLogger("mmsearch")
    logger.setLevel(logging.INFO)
    logger.addHandler(_Lines())
    try:
        try:
            _with_one_command(sys.argv[1:])()
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
    except ImportError as error:
        from mmsearch.cli.installing import of_module

        said = of_module(error.name or "")
        if said is None:
            raise
        _fail(said)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}")


def _with_one_command(arguments: Sequence[str]) -> typer.Typer:
    """What runs the command that is named first: to describe the options of all others takes longer than a search."""
    name = next(iter(joined(COMMANDS, arguments)), None)
    if name not in COMMANDS:
        return app
    alone = copy.copy(app)
    alone.registered_commands = [one for one in app.registered_commands if one.name == name]
    return alone


def _fail(message: str, code: int = 1, lines: bool = False) -> None:
    """Exit with a message, on one line but where it points into the query below."""
    print(streams.escaped(f"mmsearch: {message}", lines=lines), file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
