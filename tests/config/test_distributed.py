"""The settings of devices and processes that train together."""

import pytest

from textae.config.composing import composed
from textae.config.mapping import from_mapping, resolve, to_mapping
from textae.config.schema import DistributedConfig

pytestmark = pytest.mark.backend_free
PLACE = {"mode": "auto", "coordinator": "[::1]:4000", "process_id": 1, "num_processes": 2}


def test_one_device_is_the_default():
    assert resolve(composed("config", [])).distributed == DistributedConfig()
    assert resolve(composed("config", ["distributed=auto"])).distributed == DistributedConfig(mode="auto")


def test_an_older_run_has_the_default():
    values = to_mapping(resolve(composed("config", ["corpus=text", "corpus.files=[a.txt]"])))
    del values["distributed"]
    assert from_mapping(values).distributed == DistributedConfig()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"process_id": None},
            "distributed.coordinator, distributed.process_id and distributed.num_processes together",
        ),
        ({"mode": "none"}, "distributed=auto with distributed.coordinator"),
        ({"coordinator": "localhost"}, "distributed.coordinator as HOST:PORT"),
        ({"coordinator": "localhost:70000"}, "distributed.coordinator as HOST:PORT"),
        ({"coordinator": ":4000"}, "distributed.coordinator as HOST:PORT"),
        ({"process_id": 2}, "distributed.process_id from 0 to 1"),
        ({"process_id": -1}, "distributed.process_id from 0 to 1"),
        ({"num_processes": 0}, "distributed.num_processes of at least 1"),
        ({"join_timeout_seconds": 0}, "distributed.join_timeout_seconds above 0"),
        ({"heartbeat_timeout_seconds": 0.5}, "distributed.heartbeat_timeout_seconds of at least 1"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(changes, expected):
    DistributedConfig(**PLACE)
    with pytest.raises(ValueError, match=f"expected {expected}"):
        DistributedConfig(**PLACE | changes)
