"""What is read from the schemas' source files is what the schemas are."""

from typing import get_args, get_origin

import pytest

from textae.config.command_schemas import COMMANDS, RunCorpusConfig
from textae.config.meanings import GROUPS, keys_of
from textae.config.schema import CORPORA, Config, CorpusConfig
from textae.config.schema_source import SchemaSource, comments_of

pytestmark = pytest.mark.backend_free

SOURCE = SchemaSource()


def expected(schema, corpus):
    """Name, meaning and values of the keys of a command, by the schemas themselves."""
    keys = keys_of(schema)
    if any(key.kind is CorpusConfig for key in keys):
        keys += [key for key in keys_of(corpus, "corpus.") if key.name != "corpus.kind"]
    if schema is Config:
        for group, schemas in GROUPS.items():
            keys += keys_of(schemas[""], group.replace("/", ".") + ".") if "" in schemas else []
    return {key.name: (key.meaning, values_of(key)) for key in keys if key.kind is not CorpusConfig}


def values_of(key):
    """The values that a key's own type allows; a list of such values is none of them."""
    if bool in (key.kind, *get_args(key.kind)):
        return ("true", "false")
    return () if get_origin(key.kind) is list else tuple(key.choices)


@pytest.mark.parametrize("command", ["train", *COMMANDS])
@pytest.mark.parametrize("corpus", [*CORPORA, "run"])
def test_the_keys_are_those_of_the_schemas(command, corpus):
    found = {key.name: (key.meaning, key.choices) for key in SOURCE.keys(command, corpus) if not key.group}
    schema = Config if command == "train" else COMMANDS[command]
    assert found == expected(schema, CORPORA.get(corpus, RunCorpusConfig))


def test_groups_and_unknown_names():
    assert SOURCE.commands() == list(COMMANDS)
    groups = [key.name.replace(".", "/") for key in SOURCE.keys("train", "pydocs") if key.group]
    assert sorted(groups) == sorted(GROUPS)
    assert [key.name for key in SOURCE.keys("evaluate", None) if key.group] == ["corpus"]
    assert SOURCE.keys("nonsense", None) == []
    shared = {key.name for key in SOURCE.keys("train", "nonsense")}
    assert "corpus.test_share" in shared and "corpus.files" not in shared


def test_comments_of_a_class():
    lines = """class A:
    # above
    one: int = 1
    two: int = 2  # beside
    # and
    # three
    three: str

    # of a method
    def f(self) -> None:""".splitlines()
    assert comments_of(lines) == {"one": "above", "two": "beside", "three": "and three"}
