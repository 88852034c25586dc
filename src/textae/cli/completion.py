"""Shell completion of the command `textae`: commands, keys, options of groups and values.

The scripts for bash and zsh ask `textae completion words WORD ...` with every Tab. The standard library alone is
imported for that, and nothing is composed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from textae.config.choices import SPLITS
from textae.config.schema_source import SchemaSource, SourceKey
from textae.config.yaml_files import config_dir, first_sentence, option_files

BASH = r"""# Completion of textae in bash: eval "$(textae completion bash)"
_textae() {
    local line=${COMP_LINE:0:COMP_POINT} word kept
    local -a words
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    word=${words[${#words[@]}-1]}
    local IFS=$'\n'
    COMPREPLY=($("${words[0]/#\~/$HOME}" completion words "${words[@]:1}" 2>/dev/null))
    COMPREPLY=("${COMPREPLY[@]%%$'\t'*}")
    kept=${word%"${word##*=}"}
    [[ $COMP_WORDBREAKS == *=* ]] && COMPREPLY=("${COMPREPLY[@]#"$kept"}")
    [[ ${COMPREPLY[0]} == *[=.] ]] && compopt -o nospace 2>/dev/null
    [[ -n ${COMPREPLY[0]} ]] || COMPREPLY=()
}
complete -o default -F _textae textae
"""
ZSH = r"""#compdef textae
# Completion of textae in zsh: eval "$(textae completion zsh)" after compinit
_textae() {
    local entry word
    local -a closed closed_shown open open_shown
    for entry in "${(@f)$("${words[1]}" completion words "${(@)words[2,CURRENT-1]}" "$PREFIX" 2>/dev/null)}"; do
        word=${entry%%$'\t'*}
        [[ -n $word ]] || continue
        if [[ $word == *[=.] ]]; then
            open+=("$word") open_shown+=("${entry/$'\t'/  -- }")
        else
            closed+=("$word") closed_shown+=("${entry/$'\t'/  -- }")
        fi
    done
    if (( $#open + $#closed )); then
        (( $#open )) && compadd -Q -l -S '' -d open_shown -- "${open[@]}"
        (( $#closed )) && compadd -Q -l -d closed_shown -- "${closed[@]}"
    else
        compset -P '*='
        _files
    fi
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _textae "$@"; else compdef _textae textae; fi
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH}
OPTIONS = {
    "--help": "what the command does, and its keys",
    "--version": "the version of textae",
    "--cfg": "show the configuration, run nothing",
    "--multirun": "a sweep: one run for each value",
    "--config-dir": "a folder with more options of groups",
    "--config-name": "another configuration file",
}
_HYDRA_KEYS = (
    SourceKey("hydra.run.dir", "the run folder"),
    SourceKey("hydra.sweep.dir", "the folder of a sweep"),
)
_NO_KEY = SourceKey("", "")
_HYDRA_GROUPS = ("hydra/launcher", "hydra/sweeper")
_METRIC_KEYS = ("objective", "sort")

Candidates = dict[str, str]  # what a word may become, and what that means


def candidates(words: list[str], commands: Candidates) -> Candidates:
    """Return what the last word of a command line may become; nothing where only a file's name can stand.

    A key ends with "=", and the common start of several with ".".

    Args:
        words: those after `textae`, the last of them not complete; it may be empty.
        commands: their names and meanings.
    """
    *before, word = words or [""]
    if not before:
        return _starting(word, commands | {option: OPTIONS[option] for option in ("--help", "--version")})
    if before[0] == "completion":
        return _starting(word, dict.fromkeys(SCRIPTS, "")) if len(before) == 1 else {}
    if word.startswith("-"):
        return _starting(word, OPTIONS)
    if before[-1] in ("--cfg", "-c"):
        return _starting(word, dict.fromkeys(("job", "hydra", "all"), ""))
    if before[0] not in commands or any(sign in word for sign in "'\"[{ "):
        return {}
    command = _Command(before)
    name, equals, value = word.partition("=")
    return command.values(name, value) if equals else command.names(word)


class _Command:
    """What a command line with a command can go on with.

    Args:
        words: the command and the complete words after it.
    """

    def __init__(self, words: list[str]) -> None:
        self._command = words[0]
        self._folders = [config_dir(), *_given_folders(words)]
        self._keys = SchemaSource().keys(words[0], self._corpus(words))
        if words[0] == "train":
            self._keys += _HYDRA_KEYS

    def _corpus(self, words: list[str]) -> str:
        """Return the option of `corpus` that is given, or by default the command's."""
        given = [word.partition("=")[2] for word in words if word.startswith("corpus=")]
        return given[-1] if given else ("pydocs" if self._command == "train" else "run")

    def names(self, word: str) -> Candidates:
        """Return the keys and groups that a word may become, as far as their next dot."""
        names = {f"{key.name}=": key.meaning for key in self._keys if not key.group}
        names |= {f"{key.name.replace('.', '/')}=": key.meaning for key in self._keys if key.group}
        if self._command == "train":
            names |= {"+experiment=": "the settings of an experiment"}
            names |= {f"{group}=": "" for group in _HYDRA_GROUPS}
        found = _starting(word, names)
        while len(short := _to_the_next_dot(word, found)) == 1 and len(found) > 1:
            word = next(iter(short))
        return short

    def values(self, name: str, text: str) -> Candidates:
        """Return what `name=text` may become: options of a group, or the values of a key, also after a comma."""
        earlier = text[: text.rfind(",") + 1]
        group = name.lstrip("+")
        known = {key.name: key for key in self._keys}
        if group == "experiment" or group in _HYDRA_GROUPS or known.get(group.replace("/", "."), _NO_KEY).group:
            values = dict(self._options(group))
        elif name in _METRIC_KEYS and name in known:
            from textae.config.metric_table import DIRECTIONS

            values = {metric: f"{direction}d" for metric, direction in DIRECTIONS.items()}
        else:
            choices = SPLITS if name == "split" and name in known else known.get(name, _NO_KEY).choices
            values = dict.fromkeys(choices, "")
        return _starting(f"{name}={text}", {f"{name}={earlier}{value}": shown for value, shown in values.items()})

    def _options(self, group: str) -> Iterator[tuple[str, str]]:
        """Yield the options of a group, and what each of them is."""
        for folder in self._folders:
            for path in option_files(group, folder):
                if (self._command, group, path.stem) != ("train", "corpus", "run"):
                    yield path.stem, first_sentence(path.read_text(encoding="utf-8", errors="replace"))


def _given_folders(words: list[str]) -> Iterator[Path]:
    """Yield the folders that `--config-dir` names."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word in ("--config-dir", "-cd"):
            yield Path(following)
        elif word.startswith("--config-dir="):
            yield Path(word.partition("=")[2])


def _starting(word: str, names: Candidates) -> Candidates:
    return {name: meaning for name, meaning in names.items() if name.startswith(word)}


def _to_the_next_dot(word: str, names: Candidates) -> Candidates:
    """Return names cut after the first dot behind `word`."""
    found: Candidates = {}
    for name, meaning in names.items():
        dot = name.find(".", len(word))
        if dot < 0:
            found[name] = meaning
        else:
            found[name[: dot + 1]] = ""
    return found


def lines_of(found: Candidates) -> Iterable[str]:
    """Yield candidates as the scripts read them: a word, a tab, and what it means."""
    return (f"{word}\t{meaning}" for word, meaning in found.items())
