"""Stopping a training that runs in this process, as a signal does.

`python -m helpers.stopping CONFIG FOLDER STEPS` trains with a configuration in JSON, and stops so.
"""

import json
import signal
import sys
from pathlib import Path
from unittest import mock

from textae.training import fit as training
from textae.training.interrupts import Interrupted, Interrupts


def stop_after(patch, steps):
    """Let a run receive SIGTERM in its update number `steps`; `patch(owner, name, value)` sets an attribute."""
    interrupts = Interrupts()
    taken_note = training.Reporter.trained

    def trained(self, state, *rest):
        if state.step == steps:
            interrupts.received = signal.SIGTERM
        taken_note(self, state, *rest)

    patch(training, "Interrupts", lambda: interrupts)
    patch(training.Reporter, "trained", trained)


if __name__ == "__main__":
    from textae.config.mapping import from_mapping

    config, folder, steps = sys.argv[1:]
    stop_after(lambda owner, name, value: mock.patch.object(owner, name, value).start(), int(steps))
    try:
        training.fit(from_mapping(json.loads(config)), Path(folder))
    except Interrupted as stopped:
        sys.exit(stopped.exit_code)
