"""How ``--help`` looks: groups of commands, a sentence each, and examples.  Without Rich, which is slow to import."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

FIND, KEEP, LOOK_AFTER, MODELS = "Find and look", "Add and sort", "Look after a library", "Choose and train models"
CLUSTER = "Past one machine"

# Command -> its group, what it does in at most 60 characters, and what people type.
ABOUT: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "query": (
        FIND,
        "Find pictures by words, by a picture, or by both.",
        (
            'mmsearch query "a dog on a beach"',
            'mmsearch query ./cat.jpg "at night"',
            "mmsearch query dog -people date:2024 camera:fujifilm",
            'mmsearch query "a goal" type:video --moments',
            'mmsearch query "a dog" -k 50 --copy-to ./dogs',
        ),
    ),
    "ask": (FIND, "Ask a question about a photo.", ('mmsearch ask photo.jpg "what is the man holding?"',)),
    "caption": (FIND, "Describe photos, a sentence each.", ("mmsearch caption photo.jpg --alternatives 2",)),
    "explain": (
        FIND,
        "Show where in a photo, or when in a film, a text is found.",
        ('mmsearch explain photo.jpg "a red motorcycle" -o heat.png', 'mmsearch explain clip.mp4 "a cat" -o time.png'),
    ),
    "imagine": (
        FIND,
        "Draw sketches of what a text makes the search look for.",
        ('mmsearch imagine "a dog on a beach" -o sketches.png',),
    ),
    "serve": (
        FIND,
        "Show the library as a page in the browser, and to programs.",
        ("mmsearch serve --open", "mmsearch serve --port 8000 --read-only"),
    ),
    "mcp": (FIND, "Give agents the library as tools.", ("mmsearch mcp", "mmsearch mcp --http")),
    "index": (
        KEEP,
        "Read the pictures in folders, so that they can be found.",
        ("mmsearch index ~/Pictures /mnt/archive", "mmsearch index", "mmsearch index ~/Pictures --ocr --captions"),
    ),
    "watch": (KEEP, "Index folders now and whenever they change.", ("mmsearch watch ~/Pictures",)),
    "tag": (
        KEEP,
        "Give pictures the words that fit them, or your own.",
        (
            "mmsearch tag",
            "mmsearch tag --vocabulary words.txt",
            "mmsearch tag --add birthday ./party",
            "mmsearch tag --list",
        ),
    ),
    "duplicates": (
        KEEP,
        "List files that show the same picture, and move them aside.",
        ("mmsearch duplicates", "mmsearch duplicates --move-to ./aside --yes"),
    ),
    "map": (
        FIND,
        "Lay the pictures out on a map, in clusters with names.",
        ("mmsearch map -o map.html", "mmsearch map --fresh"),
    ),
    "status": (LOOK_AFTER, "Show what the library holds.", ("mmsearch status", "mmsearch status --failed")),
    "doctor": (LOOK_AFTER, "Look whether all works here, and how fast.", ("mmsearch doctor",)),
    "verify": (LOOK_AFTER, "Look whether the library is in order.", ("mmsearch verify --deep",)),
    "repair": (LOOK_AFTER, "Mend what verify finds.", ("mmsearch repair",)),
    "remove": (LOOK_AFTER, "Forget folders or pictures; no file is deleted.", ("mmsearch remove ~/Pictures/private",)),
    "backup": (LOOK_AFTER, "Copy the library to one file.", ("mmsearch backup photos.backup",)),
    "restore": (
        LOOK_AFTER,
        "Put a backup in the place of the library.",
        ("mmsearch restore photos.backup", "mmsearch restore photos.backup --library other --force"),
    ),
    "export": (LOOK_AFTER, "Write what is known into files that any program reads.", ("mmsearch export files",)),
    "import": (
        LOOK_AFTER,
        "Add what export wrote, or vectors of another program.",
        ("mmsearch import files", "mmsearch import vectors --model ViT-B-32"),
    ),
    "completion": (
        LOOK_AFTER,
        "Complete commands, fields and tags in bash, zsh or fish.",
        ("mmsearch completion --install", "mmsearch completion bash"),
    ),
    "models": (MODELS, "List the models that --model takes.", ("mmsearch models", "mmsearch models --all")),
    "reindex": (
        MODELS,
        "Change the model of a library without a pause.",
        ("mmsearch reindex --model ViT-B-32", "mmsearch reindex --activate embedded", "mmsearch reindex"),
    ),
    "cluster index": (
        CLUSTER,
        "Read pictures with the machines of a Ray cluster.",
        (
            "mmsearch cluster index ./photos",
            "mmsearch cluster index /nfs/photos --address ray://head:10001 --library postgresql://me@db/photos",
        ),
    ),
    "cluster import": (
        CLUSTER,
        "Copy a library from a folder into PostgreSQL.",
        ("mmsearch cluster import ./photos.mmsearch --library postgresql://me@db/photos",),
    ),
    "cluster export": (
        CLUSTER,
        "Copy a library from PostgreSQL into a folder.",
        ("mmsearch cluster export ./photos.mmsearch --library postgresql://me@db/photos",),
    ),
    "cluster reconcile": (
        CLUSTER,
        "Make what pgvector or Milvus has the same as the library.",
        ("mmsearch cluster reconcile --library postgresql://me@db/photos --dry-run",),
    ),
    "calibrate": (
        MODELS,
        "Fit relevance to your own pictures.",
        ("mmsearch calibrate --captions captions.tsv", "mmsearch calibrate --clear"),
    ),
    "eval": (
        MODELS,
        "Measure models on captioned or sorted photos.",
        ("mmsearch eval --captions captions.tsv --images ./photos --model embedded",),
    ),
    "train": (
        MODELS,
        "Train a model on captioned photos.",
        ("mmsearch train --captions captions.tsv --images ./photos --out ./my-model",),
    ),
    "train-reranker": (
        MODELS,
        "Train a reranker on captioned photos.",
        ("mmsearch train-reranker --captions captions.tsv --images ./photos --out ./my-reranker",),
    ),
}
BEGINNING = ("mmsearch index ~/Pictures", 'mmsearch query "a dog on a beach"', "mmsearch serve --open")
_ELSEWHERE = "Commands"  # of one that is in no group


class HelpedCommand(TyperCommand):
    """A command whose help has examples, and whose options of one panel may be told in one paragraph."""

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        super().format_help_text(ctx, formatter)
        write_examples(formatter, ABOUT[self.name][2] if self.name in ABOUT else ())

    def format_options(self, ctx: Any, formatter: Any) -> None:
        rows: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        panels: dict[str, list[str]] = {}
        for param in self.get_params(ctx):
            record = help_record(param, ctx)
            panel = getattr(param, "rich_help_panel", None)
            if record is not None and panel:
                panels.setdefault(panel, []).append(record[0])
            elif record is not None:
                rows["Arguments" if param.param_type_name == "argument" else "Options"].append(record)
        for title, told in rows.items():
            if told:
                with formatter.section(title):
                    formatter.write_dl(told)
        for panel, names in panels.items():
            with formatter.section(panel):
                formatter.write_text(",  ".join(name.replace(" ", "\u00a0") for name in names))


def help_record(param: Any, ctx: Any) -> tuple[str, str] | None:
    """The names of an option or argument, and what it is; None where it is hidden."""
    record = param.get_help_record(ctx)
    if record is None or param.param_type_name != "argument":
        return None if record is None else (record[0], record[1])
    return f"{param.metavar or param.name.upper()}{'...' if param.nargs == -1 else ''}", record[1]


def write_examples(formatter: Any, examples: tuple[str, ...]) -> None:
    """Lines to type, as they are."""
    if examples:
        formatter.write("\nExamples:\n" + "".join(f"  {line}\n" for line in examples))


def write_commands(group: Any, ctx: Any, formatter: Any) -> None:
    """The commands of the program, by what they are for."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if not command.hidden:
            title = getattr(command, "rich_help_panel", None) or _ELSEWHERE
            sections.setdefault(title, []).append((name, command.get_short_help_str(80)))
    width = max(len(name) for rows in sections.values() for name, _ in rows)
    for title, rows in sections.items():
        with formatter.section(title):
            formatter.write_dl([(name.ljust(width), said) for name, said in rows])
