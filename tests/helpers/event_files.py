"""TensorBoard's event files, read with TensorBoard's own readers."""

from tensorboard.backend.event_processing import plugin_event_accumulator
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util


def read(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    events.Reload()
    return events


def points(folder, tag):
    events = read(folder)
    return [(event.step, event.value) for event in events.Scalars(tag)] if events.Tags()["scalars"] else []


def served(folder, tag):
    """The points that TensorBoard shows: its server's reader passes over a folder's first mark of a start."""
    events = plugin_event_accumulator.EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, float(tensor_util.make_ndarray(event.tensor_proto))) for event in events.Tensors(tag)]
