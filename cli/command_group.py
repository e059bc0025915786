"""The commands together: what people type in another order, or by another name, is understood or told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from itertools import pairwise
from typing import Any

from typer.core import TyperGroup

from mmsearch.cli.command_help import BEGINNING, write_commands, write_examples

# What others call it -> the command.
MEANT = {
    "add": "index",
    "check": "verify",
    "dedupe": "duplicates",
    "delete": "remove",
    "describe": "caption",
    "dupes": "duplicates",
    "evaluate": "eval",
    "find": "query",
    "fix": "repair",
    "forget": "remove",
    "info": "status",
    "ls": "query",
    "rm": "remove",
    "scan": "index",
    "search": "query",
    "stats": "status",
    "update": "index",
}


class CommandGroup(TyperGroup):
    """Takes the options of a command before its name too, as in ``mmsearch --library DIR query dog``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        args = command_first(self.commands, joined(self.commands, args))
        if len(args) == 2 and args[0] in _beginnings(self.commands) and args[1] in ("--help", "-h"):
            print(_of_family(self.commands, args[0]))
            ctx.exit()
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        write_examples(formatter, BEGINNING)
        write_commands(self, ctx, formatter)
        formatter.write("\nmmsearch COMMAND --help tells more of a command.\n")

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name in _beginnings(self.commands) and not ctx.resilient_parsing:
            ctx.fail(_no_such(self.commands, args) or f"Which one?\n{_of_family(self.commands, name)}")
        if name not in self.commands and name in MEANT and not ctx.resilient_parsing:
            ctx.fail(f"No such command {name!r}. Did you mean {MEANT[name]!r}?")
        return super().resolve_command(ctx, args)


def joined(commands: Mapping[str, Any], args: Sequence[str]) -> list[str]:
    """The arguments with the two words of a command such as ``cluster index`` as one."""
    for place, pair in enumerate(pairwise(args)):
        if " ".join(pair) in commands and (place == 0 or args[0].startswith("-")):
            return [*args[:place], " ".join(pair), *args[place + 2 :]]
        if pair[0] in commands:
            break
    return [*args]


def _beginnings(commands: Mapping[str, Any]) -> set[str]:
    """The first words of commands of two."""
    return {name.partition(" ")[0] for name in commands if " " in name}


def _no_such(commands: Mapping[str, Any], args: Sequence[str]) -> str | None:
    """What is said of two words of which the second one is almost that of a command; None where it is not."""
    words = " ".join(args[:2])
    near = get_close_matches(words, [name for name in commands if name.startswith(f"{args[0]} ")], 1, 0.8)
    return f"No such command {words!r}. Did you mean {near[0]!r}?" if near else None


def _of_family(commands: Mapping[str, Any], first: str) -> str:
    """The commands that begin with a word, a line each."""
    rows = {name: one.get_short_help_str(80) for name, one in commands.items() if name.startswith(f"{first} ")}
    width = max(map(len, rows))
    lines = [f"  mmsearch {name.ljust(width)}  {said}" for name, said in rows.items()]
    return "\n".join([*lines, f"\nmmsearch {first} COMMAND --help tells more of a command."])


def command_first(commands: Mapping[str, Any], args: Sequence[str]) -> list[str]:
    """The arguments with the name of the command first, where nothing but options of its own stands before it."""
    for place, word in enumerate(args if args and args[0].startswith("-") else ()):
        if word in commands and _are_options(commands[word].params, args[:place]):
            return [word, *args[:place], *args[place + 1 :]]
    return [*args]


def _are_options(params: Sequence[Any], args: Sequence[str]) -> bool:
    """Whether these are options of a command, each with its value where it takes one."""
    takes_value = {
        name: not getattr(param, "is_flag", False)
        for param in params
        if param.param_type_name == "option"
        for name in (*param.opts, *param.secondary_opts)
    }
    rest = iter(args)
    for arg in rest:
        name, equals, _ = arg.partition("=")
        if equals and arg.startswith("--"):
            known = takes_value.get(name, False)
        elif arg in takes_value:
            known = not takes_value[arg] or next(rest, None) is not None
        else:
            known = not arg.startswith("--") and takes_value.get(arg[:2], False)  # -k5
        if not known:
            return False
    return True
