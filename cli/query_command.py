"""A command whose words may begin with a dash, as in ``mmsearch query dog -people``."""

from __future__ import annotations

from typing import Any

from mmsearch.cli.command_help import HelpedCommand


class QueryCommand(HelpedCommand):
    """Its own options stay options; all else that begins with one dash is a word of the query.

    A value may be joined to a short option only where it does not begin with a letter: ``-k5``, ``-l/photos``; so
    ``-kitten`` leaves out kittens.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        options, words = _told_apart(self.get_params(ctx), args)
        return super().parse_args(ctx, [*options, "--", *words] if words else options)


def _told_apart(params: list[Any], args: list[str]) -> tuple[list[str], list[str]]:
    """Options with their values, and words."""
    takes_value = {
        name: not getattr(param, "is_flag", False)
        for param in params
        if param.param_type_name == "option"
        for name in (*param.opts, *param.secondary_opts)
    }
    options: list[str] = []
    words: list[str] = []
    rest = iter(args)
    for arg in rest:
        if arg == "--":
            words += rest
        elif arg.startswith("--"):
            options.append(arg)
            if "=" not in arg and takes_value.get(arg):
                options += [value for value in (next(rest, None),) if value is not None]
        elif arg in takes_value:
            options.append(arg)
            if takes_value[arg]:
                options += [value for value in (next(rest, None),) if value is not None]
        elif takes_value.get(arg[:2]) and not arg[2].isalpha():
            options.append(arg)
        elif len(arg) == 2 and arg[0] == "-" and arg[1].isascii() and arg[1].isalnum():
            options.append(arg)  # a slip, which is told: nobody leaves out what matches one letter
        else:
            words.append(arg)
    return options, words
