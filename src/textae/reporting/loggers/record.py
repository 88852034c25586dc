"""What the run folder keeps of a logger that writes elsewhere, so that a continued run goes on in the same place."""

from __future__ import annotations

from typing import Any

from textae.runs.json_files import read_json, write_json
from textae.runs.run_folder import LOGGERS, RunDir


class Record:
    """The id of a logger's run, and the last step of each split that the logger was given.

    The steps after a checkpoint are made again when a run that was killed is continued, with the same values; what was
    given to the logger already is not given again.
    """

    def __init__(self, run: RunDir, logger: str) -> None:
        self._run, self._logger = run, logger
        found = self._all().get(logger)
        own = found if isinstance(found, dict) else {}
        self.id = own["id"] if isinstance(own.get("id"), str) else None
        steps = own.get("steps")
        self._steps = {k: v for k, v in steps.items() if type(v) is int} if isinstance(steps, dict) else {}

    def _all(self) -> dict[str, Any]:
        return read_json(self._run / LOGGERS) if (self._run / LOGGERS).is_file() else {}

    def begin(self, identity: str) -> None:
        """Take note of a new run of the logger."""
        self.id, self._steps = identity, {}
        self._write()

    def lacks(self, split: str, step: int) -> bool:
        """Return whether the logger was not given this step of a split."""
        return step > self._steps.get(split, -1)

    def given(self, split: str, step: int) -> None:
        """Take note that the logger was given a step of a split."""
        self._steps[split] = step
        self._write()

    def _write(self) -> None:
        write_json(self._run / LOGGERS, self._all() | {self._logger: {"id": self.id, "steps": self._steps}})
