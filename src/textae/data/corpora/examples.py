"""TFDS's stored form of an example, whose class Protocol Buffers makes when it is imported."""

from typing import Any


def new_example() -> Any:
    """Return an empty `tf.train.Example`."""
    from tensorflow_datasets.proto import tf_example_pb2

    return tf_example_pb2.Example()  # pyright: ignore[reportAttributeAccessIssue]


def features_of(record: bytes) -> Any:
    """Return the features of a stored example, by name."""
    from tensorflow_datasets.proto import tf_example_pb2

    return tf_example_pb2.Example.FromString(record).features.feature  # pyright: ignore[reportAttributeAccessIssue]
