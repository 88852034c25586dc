"""What tests take of the processors, with the processes that they start: a figure that other work does not change much.

PYTHONPATH=tests python -m pytest -n 0 -p helpers.cpu_seconds tests/training
"""

import os
from collections import Counter
from pathlib import Path

import pytest

SHOWN = 30
spent = Counter()


def cpu_seconds():
    """Seconds of this process, of its children that have ended, and of all processes below it that live."""
    parents, used = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        number = int(folder.name)
        parents[number], used[number] = int(fields[1]), sum(map(int, fields[11:15]))

    def is_below(number):
        while number and number != os.getpid():
            number = parents.get(number)
        return bool(number)

    return sum(ticks for number, ticks in used.items() if is_below(number)) / os.sysconf("SC_CLK_TCK")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    before = cpu_seconds()
    result = yield
    spent[item.nodeid] = cpu_seconds() - before
    return result


def pytest_terminal_summary(terminalreporter):
    modules = Counter()
    for name, seconds in spent.items():
        modules[name.partition("::")[0]] += seconds
    for title, table in (("modules", modules), ("tests", spent)):
        terminalreporter.section(f"processor seconds of {title}, {sum(table.values()):.0f} in all")
        for name, seconds in table.most_common(SHOWN):
            terminalreporter.write_line(f"{seconds:8.1f} {name}")
