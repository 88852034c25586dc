"""The command `textae COMMAND ...`: the same as `python -m textae.COMMAND ...`, in one word.

Help, version and shell completion import the standard library alone, so that they answer at once.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

SUCCESS, USAGE = 0, 2
_ROOT = Path(__file__).parents[1]
_FIRST_LINE = re.compile(r'"""`python -m textae\.(?P<name>\w+)[^`]*`: (?P<meaning>.+?)(?:\.?"""|\.?$)')
_COMPLETION = "a script that completes commands, keys and values: bash or zsh"


def commands() -> dict[str, str]:
    """Return the names of the commands, and what each of them does: the first line of its module."""
    found = {}
    for path in sorted(_ROOT.glob("*.py"), key=lambda path: (path.stem != "train", path.stem)):
        with path.open(encoding="utf-8") as file:
            if (match := _FIRST_LINE.match(file.readline().rstrip("\n"))) and match["name"] == path.stem:
                found[path.stem] = match["meaning"]
    return found | {"completion": _COMPLETION}


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code; `arguments` are by default those of the process.

    Commands on runs end the process themselves, as they do under `python -m`.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if not given:
        print(_help(), end="", file=sys.stderr)
        return _refuse("expected a command, found none")
    name, *rest = given
    known = commands()
    if name in ("--help", "-h", "help"):
        print(_help(), end="")
    elif name in ("--version", "-V"):
        import textae

        print(f"textae {textae.__version__}")
    elif name == "completion":
        return _complete(rest, known)
    elif name in known:
        _run(name, rest)
    else:
        from textae.config.key_names import unknown_command

        return _refuse(unknown_command(name, known))
    return SUCCESS


def _run(name: str, arguments: list[str]) -> None:
    """Run a command's module as `python -m` does."""
    import runpy

    sys.argv[1:] = arguments
    runpy.run_module(f"textae.{name}", run_name="__main__", alter_sys=True)


def _complete(arguments: list[str], known: dict[str, str]) -> int:
    """Print a shell's script, or what it asks for."""
    from textae.cli.completion import SCRIPTS, candidates, lines_of

    if arguments[:1] == ["words"]:
        print("".join(f"{line}\n" for line in lines_of(candidates(arguments[1:], known))), end="")
    elif len(arguments) == 1 and arguments[0] in SCRIPTS:
        print(SCRIPTS[arguments[0]], end="")
    else:
        found = " ".join(arguments) or "none"
        return _refuse(f"expected completion {' or '.join(SCRIPTS)}, found {found}")
    return SUCCESS


def _help() -> str:
    known = commands()
    width = max(map(len, known)) + 2
    lines = [
        "textae COMMAND [KEY=VALUE ...]",
        "",
        "One-dimensional convolutional autoencoders for text.",
        "",
        "Commands:",
        *(f"  {name.ljust(width)}{meaning}" for name, meaning in known.items()),
        "",
        "textae COMMAND --help lists the keys of a command. python -m textae.COMMAND is the same as textae COMMAND.",
        'eval "$(textae completion bash)" in ~/.bashrc, or zsh in ~/.zshrc, completes commands, keys and values.',
    ]
    return "\n".join(lines) + "\n"


def _refuse(line: str) -> int:
    print(f"textae: {line}", file=sys.stderr)
    return USAGE
