"""The scripts with which bash, zsh and fish ask for completion, how they are set up, and what they are answered.

The scripts set ``_MMSEARCH_COMPLETE`` and the words before the cursor, and run the program, which answers a candidate a
line: its value, a tab, and a few words about it.  A line ``\\t*`` asks for paths of files, ``\\t/`` of folders.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmsearch.errors import SourceError

WORDS, WORD = "_MMSEARCH_WORDS", "_MMSEARCH_WORD"

# bash takes a word apart at colons, so it is asked for the line, and told only what follows the last colon.
_BASH = r"""_mmsearch_completion() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
            $'\t*') compopt -o default; return ;;
            $'\t/') compopt -o dirnames; return ;;
        esac
        COMPREPLY+=("${line%%$'\t'*}")
    done < <(_MMSEARCH_COMPLETE=complete_bash _MMSEARCH_WORDS="${COMP_LINE:0:COMP_POINT}" _MMSEARCH_WORD="$2" \
        "${1/#\~/$HOME}" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[:=] ]]; then
        compopt -o nospace
    fi
}
complete -F _mmsearch_completion mmsearch
"""
_ZSH = r"""#compdef mmsearch
_mmsearch() {
    local line value
    local -a values shown open open_shown
    for line in "${(@f)$(_MMSEARCH_COMPLETE=complete_zsh _MMSEARCH_WORDS="${(F)${(@Q)words[1,CURRENT]}}" \
            ${(Q)words[1]} 2>/dev/null)}"; do
        [[ -z $line ]] && continue
        case $line in
            $'\t*') _files; return ;;
            $'\t/') _files -/; return ;;
        esac
        value=${line%%$'\t'*}
        if [[ $value == *[:=] ]]; then
            open+=("$value") open_shown+=("$value  ${line#*$'\t'}")
        else
            values+=("$value") shown+=("$value  ${line#*$'\t'}")
        fi
    done
    (( $#values )) && compadd -M 'm:{[:lower:]}={[:upper:]}' -l -d shown -a -- values
    (( $#open )) && compadd -S '' -l -d open_shown -a -- open
    (( $#values + $#open ))
}
if [[ $funcstack[1] == _mmsearch ]]; then
    _mmsearch "$@"
else
    compdef _mmsearch mmsearch
fi
"""
_FISH = r"""function __mmsearch_complete
    set -l words (commandline -opc) (commandline -ct)
    set -lx _MMSEARCH_COMPLETE complete_fish
    set -lx _MMSEARCH_WORDS (string join \n -- $words | string collect)
    for line in ($words[1] 2>/dev/null)
        switch $line
            case \t'\*'
                __fish_complete_path (commandline -ct)
            case \t/
                __fish_complete_directories (commandline -ct) ''
            case '*'
                echo -- $line
        end
    end
end
complete --command mmsearch --no-files --arguments '(__mmsearch_complete)'
"""
SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def install(shell: str, home: Path, environment: Mapping[str, str]) -> Path:
    """Returns the file that was written, or has what is needed already.  Raises SourceError where that fails."""
    config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    data = Path(environment.get("XDG_DATA_HOME") or home / ".local" / "share")
    if shell == "fish":
        script = config / "fish" / "completions" / "mmsearch.fish"
    else:
        script = data / "mmsearch" / f"completion.{shell}"
    try:
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(SCRIPTS[shell], "utf-8")
        if shell == "fish":
            return script
        start = (Path(environment.get("ZDOTDIR") or home) / ".zshrc") if shell == "zsh" else home / ".bashrc"
        line = f"[ -f '{script}' ] && . '{script}'  # completion of mmsearch\n"
        if shell == "zsh":
            line = f"(( $+functions[compdef] )) || {{ autoload -Uz compinit && compinit }}\n{line}"
        with start.open("a+b") as file:
            file.seek(0)
            found = file.read()
            if line.encode() not in found:
                file.write(b"\n" * bool(found and not found.endswith(b"\n")) + line.encode())
    except OSError as error:
        raise SourceError(f"{error.filename} cannot be written: {error.strerror}") from error
    return start


def answer(app: Any, instruction: str, environment: Mapping[str, str]) -> str:
    """What a shell is answered; ``instruction`` is the value of ``_MMSEARCH_COMPLETE``, such as ``complete_zsh``."""
    from typer.main import get_command

    from mmsearch.cli.completing import candidates

    shell, text = instruction.removeprefix("complete_"), environment.get(WORDS, "")
    if shell not in SCRIPTS:
        return ""
    quote = ""
    if shell == "bash":
        words, quote = split(text)
    else:
        words = text.split("\n")
    group: Any = get_command(app)
    found = candidates(group.commands, group.params, words[1:])
    values = found.values
    if shell == "bash":
        known = len(words[-1]) - len(environment.get(WORD, words[-1]).lstrip("\"'")) if words else 0
        values = {(value if quote else escaped(value))[max(0, known) :]: said for value, said in values.items()}
    lines = [f"{value}\t{said}" for value, said in values.items()]
    lines += ["\t*"] * found.files + ["\t/"] * found.folders
    return "".join(f"{line}\n" for line in lines)


def escaped(value: str) -> str:
    """A value as bash reads it as one word."""
    return "".join(f"\\{char}" if char in " \t\"'\\$`&|;<>()*?![]{}#~" else char for char in value)


def split(line: str) -> tuple[list[str], str]:
    """The words of a line that may end in the middle of one, and the quote that is open there; as bash splits it."""
    words, word, quote = [], "", ""
    started = skip = False
    for place, char in enumerate(line):
        if skip:
            word, skip = word + char, False
        elif char == "\\" and quote != "'":
            skip = started = place + 1 < len(line)
        elif char == quote:
            quote = ""
        elif not quote and char in "\"'":
            quote, started = char, True
        elif not quote and char.isspace():
            if word or started:
                words.append(word)
            word, started = "", False
        else:
            word += char
    return [*words, word], quote
