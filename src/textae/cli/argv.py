"""The options of a command line, which Hydra's parser knows: put in front of the settings, explained in one line."""

from __future__ import annotations

import argparse
from typing import NoReturn


def arranged(arguments: list[str], config_name: str = "config") -> list[str]:
    """Return a command line's arguments, options first: then they may stand anywhere.

    What needs no configuration is answered here: the help of the command, and the version.

    Raises:
        ValueError: an unknown option, one without its value, or Hydra's shell completion.
    """
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()
    known = [action.option_strings[0] for action in parser._actions if action.option_strings]
    parser.error = lambda message: _refuse(message, known)
    for action in parser._actions:
        if isinstance(action, argparse._VersionAction):
            action.version = _version()
    found = parser.parse_intermixed_args(arguments)
    if found.help:
        from textae.cli.help import help_of

        print(help_of(config_name), end="")
        raise SystemExit(0)
    settings = list(found.overrides)
    if found.shell_completion:
        raise ValueError("expected textae completion bash or textae completion zsh, found --shell-completion")
    options = list(arguments)
    for setting in settings:
        options.remove(setting)
    return [option for option in options if option != "--"] + settings


def _refuse(message: str, known: list[str]) -> NoReturn:
    unknown = message.removeprefix("unrecognized arguments: ")
    if unknown != message:
        raise ValueError(f"expected one of the options {', '.join(known)}, found {unknown.split()[0]}")
    raise ValueError(message.removeprefix("argument "))


def _version() -> str:
    import textae

    return f"textae {textae.__version__}"
