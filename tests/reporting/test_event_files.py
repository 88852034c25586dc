"""TensorBoard shows a continued run whole, whatever the clock says of its processes."""

import time

import pytest

from helpers.event_files import points, served
from textae.reporting.tensorboard import TensorBoardWriter

pytestmark = pytest.mark.backend_free


class Clock:
    """Stands for the module `time` in textae.reporting.tensorboard; its time is set by hand."""

    monotonic = staticmethod(time.monotonic)

    def __init__(self, now):
        self.now = now

    def time(self):
        return self.now

    def time_ns(self):
        return int(self.now * 1e9)


@pytest.mark.parametrize("shift", [-86_400.0, -1.0, 0.0, 0.5, 3600.0])
def test_a_clock_that_was_set_back_loses_no_points(tmp_path, monkeypatch, shift):
    """Three processes, each of which goes on from a checkpoint some steps before the last one's end."""
    clock = Clock(1_764_000_000.25)
    monkeypatch.setattr("textae.reporting.tensorboard.time", clock)
    monkeypatch.setattr("tensorboardX.event_file_writer.time", clock, raising=False)
    for first in (0, 6, 11):
        with TensorBoardWriter(tmp_path) as writer:
            writer.purge_from(first)
            for step in range(first, first + 10):
                writer.scalars({"loss": 100 * first + step}, step)
        clock.now += shift
    expected = [(step, 100 * first + step) for step, first in enumerate([0] * 6 + [6] * 5 + [11] * 10)]
    assert served(tmp_path / "train", "loss") == expected
    assert points(tmp_path / "train", "loss") == expected


def test_names_sort_after_those_of_an_earlier_version(tmp_path, monkeypatch):
    monkeypatch.setattr("textae.reporting.tensorboard.time", Clock(1_000_000_000.0))
    folder = tmp_path / "train"
    folder.mkdir()
    old = folder / "events.out.tfevents.1764000000.zebra.1764000000123456789"
    old.write_bytes(b"")
    (folder / "events.out.tfevents.strange").write_bytes(b"")
    for _ in range(2):
        with TensorBoardWriter(tmp_path) as writer:
            writer.scalars({"loss": 1.0}, 1)
    numbers = [path.name.split(".")[3] for path in sorted(folder.glob("events.out.tfevents.1*"))]
    assert numbers == ["1764000000", "1764000001", "1764000002"]
