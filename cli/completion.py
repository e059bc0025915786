"""``mmsearch completion``: what a shell needs to complete commands, options, fields and tags (``shells.py``)."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from mmsearch.cli import formatting

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_MMSEARCH_COMPLETE"  # set by a shell that asks; app.py answers it


def command(
    shell: Annotated[
        str | None, typer.Argument(metavar="bash|zsh|fish", help="The shell. Default: that of $SHELL.")
    ] = None,
    install: Annotated[
        bool, typer.Option("--install", help="Set it up for this user, in place of printing it.")
    ] = False,
) -> None:
    """Print what lets a shell complete commands, options, fields such as camera: and tags of your library.

    With --install it is written where the shell finds it: for fish into its folder of completions, for bash and zsh a
    line is added to ~/.bashrc or ~/.zshrc.
    """
    from mmsearch.cli.shells import SCRIPTS
    from mmsearch.cli.shells import install as install_script

    name = shell or os.path.basename(os.environ.get("SHELL", ""))
    if name not in SHELLS:
        raise typer.BadParameter(f"must be {', '.join(SHELLS[:-1])} or {SHELLS[-1]}, not {name!r}", param_hint="SHELL")
    if not install:
        sys.stdout.write(SCRIPTS[name])
        return
    file = install_script(name, Path.home(), os.environ)
    formatting.say(f"{name} completes mmsearch from its next start on: {formatting.shown(str(file), relative=False)}")
