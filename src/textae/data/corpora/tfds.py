"""The corpus `tfds`: a data set of TensorFlow Datasets by name, copied into the form that all corpora have.

A data set that is prepared already is read without network, and without TensorFlow unless it is stored as
tfrecord.
"""

import contextlib
import difflib
import logging
import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from textae.config.choices import SPLITS
from textae.config.schema import TfdsConfig
from textae.data.corpora.checking import Label
from textae.data.corpora.examples import features_of
from textae.data.corpora.specification import VERSION, Advance, CorpusSpecification, Example, Part
from textae.data.fingerprints import fingerprint
from textae.data.messages import one_line

logger = logging.getLogger(__name__)

_DEFAULT_HOST = "https://storage.googleapis.com"
_SECONDS_TO_CONNECT = 6.0
_RETRIES = 2
_BATCH = 256


def specification(settings: TfdsConfig) -> CorpusSpecification:
    """Return how a corpus is made from a TFDS data set.

    `field` may be left out where the data set has one Text feature. `splits` says which of its splits become
    train, validation and test, by default those of the same name; validation and test are taken out of train
    by a hash of the document where no split is named. `tfds_dir` is where TFDS keeps its data sets, by
    default $TFDS_DATA_DIR or ~/tensorflow_datasets. A data set that is not there is downloaded.

    Raises:
        ValueError: there is no such data set, feature or split, or no network to download it.
    """
    name, config, label, max_characters = settings.name, settings.config, settings.label, settings.max_characters
    folder = Path(settings.tfds_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    builder = _prepared_builder(name if config is None else f"{name}/{config}", folder)
    title = f"{builder.name}/{builder.builder_config.name}" if builder.builder_config else builder.name
    text_field = _text_field(builder, title, settings.field)
    label_type = None if label is None else _label_type(builder, title, label)
    mapping = _mapping(builder, title, settings.splits)
    fractions = {split: share for split, share in settings.split_fractions().items() if split not in mapping}
    names = [text_field] if label is None else [text_field, label]

    def examples(advance: Advance, *_: object) -> Iterator[Example]:
        for split, source in mapping.items():
            for number, example in enumerate(_examples(builder, title, source, names)):
                where = f"{title}, split {source}, example {number}"
                text = _decoded(example[text_field], text_field, where)[:max_characters]
                advance(1)
                if text:
                    value = None
                    if label is not None and label_type is not None:
                        value = _label(example[label], label_type, label, where)
                    yield split if split != "train" or not fractions else None, text, value

    return CorpusSpecification(
        kind="tfds",
        name=title,
        fingerprint=fingerprint(
            VERSION,
            "tfds",
            title,
            _state(builder),
            text_field,
            label,
            sorted(mapping.items()),
            max_characters,
            fractions,
        ),
        parts=[Part(examples, sum(builder.info.splits[source].num_examples for source in mapping.values()))],
        split_fractions=fractions,
        unit=" examples",
    )


def _prepared_builder(name: str, folder: Path) -> Any:
    """Builder of a data set, downloaded if it is not prepared."""
    import tensorflow_datasets as tfds

    if ":" in name and not re.fullmatch(r"[\d.*]+", name.rpartition(":")[2]):  # TFDS would fetch the code and run it
        raise ValueError(f"tfds: expected a data set of TFDS itself, NAME or NAME:VERSION, found {name}")

    try:
        builder = tfds.builder(name, data_dir=folder)
        if (Path(builder.data_dir) / "dataset_info.json").exists():
            return builder
        # array_record, which is read without TensorFlow
        builder = tfds.builder(name, data_dir=folder, file_format="array_record")
    except tfds.core.DatasetNotFoundError:
        known = tfds.list_builders(with_community_datasets=False)
        raise ValueError(
            f"tfds: expected the name of a data set (such as {_like(name, known)}), found {name}"
        ) from None
    except Exception as error:
        base, _, config = name.partition(":")[0].partition("/")
        known = _configs(base)
        if config and known and config not in known:
            raise ValueError(
                f"tfds: expected a config of {base} (such as {_like(config, known)}), found {config}"
            ) from None
        raise ValueError(
            f"tfds: expected a data set that TFDS can build, found {name}: {one_line(error, 300)}"
        ) from error
    full_name = builder.info.full_name
    remedy = f"run tfds build {name} --file_format=array_record where there is one, or name its folder in tfds_dir"
    if not _reachable(builder):
        raise ValueError(f"tfds: expected {full_name} prepared in {folder}, found neither it nor a network: {remedy}")
    logger.info(f"downloading {full_name} into {folder}")
    from tensorflow_datasets.core.download import downloader

    retries, downloader.MAX_RETRIES = downloader.MAX_RETRIES, _RETRIES  # 10, ever longer apart, take minutes
    try:
        with contextlib.redirect_stdout(sys.stderr):
            builder.download_and_prepare()
    except Exception as error:
        raise ValueError(f"tfds: expected to prepare {full_name}, found {one_line(error, 300)}: {remedy}") from error
    finally:
        downloader.MAX_RETRIES = retries
    return builder


def _configs(name: str) -> list[str]:
    import tensorflow_datasets as tfds

    try:
        return list(tfds.builder_cls(name).builder_configs)
    except Exception:  # whatever is wrong with the name was found before, and is what the user is told
        return []


def _like(name: str, known: list[str]) -> str:
    """Known names that are like the one given, for a message."""
    same = [other for other in known if len(name) > 2 and (name in other or other in name)]
    close = difflib.get_close_matches(name, known, n=5, cutoff=0.5)
    return ", ".join(list(dict.fromkeys([*close, *same, *known]))[:5])


def _reachable(builder: Any) -> bool:
    """Whether one of the hosts that a data set is downloaded from answers, within seconds."""
    import requests

    urls = {f"{parts.scheme}://{parts.netloc}" for parts in map(urlsplit, builder.url_infos or ()) if parts.netloc}
    hosts = [url for url in sorted(urls) if url.startswith("http")][:4] or [_DEFAULT_HOST]
    answered = threading.Event()
    finished = threading.Event()
    left = len(hosts)

    def ask(host: str) -> None:
        nonlocal left
        with contextlib.suppress(requests.RequestException):
            requests.head(host, timeout=_SECONDS_TO_CONNECT)  # any answer will do, and a proxy may give it
            answered.set()
        left -= 1
        if answered.is_set() or not left:
            finished.set()

    for host in hosts:  # in threads, because finding the address of a host has no limit of time
        threading.Thread(target=ask, args=(host,), daemon=True).start()
    finished.wait(_SECONDS_TO_CONNECT)
    return answered.is_set()


def _text_field(builder: Any, title: str, field: str | None) -> str:
    """The feature with the text: the one named, or the only one of type Text."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    texts = [name for name in sorted(features) if isinstance(features[name], tfds.features.Text)]
    listed = ", ".join(texts) or f"none among {', '.join(sorted(features))}"
    if field is not None and field not in texts:
        raise ValueError(f"{title}: expected field to be a Text feature ({listed}), found {field}")
    if field is None and len(texts) != 1:
        raise ValueError(f"{title}: expected field=NAME unless there is one Text feature, found {listed}")
    return field or texts[0]


def _label_type(builder: Any, title: str, label: str) -> type:
    """The type of a feature's labels: str, bool, int or float."""
    import numpy as np
    import tensorflow_datasets as tfds

    features = builder.info.features
    usable = [
        name
        for name in sorted(features)
        if isinstance(features[name], tfds.features.Text)
        or (features[name].shape == () and np.dtype(features[name].np_dtype).kind in "biuf")
    ]
    if label not in usable:
        raise ValueError(f"{title}: expected label to be one of {', '.join(usable)}, found {label}")
    if isinstance(features[label], tfds.features.Text):
        return str
    return {"b": bool, "f": float}.get(np.dtype(features[label].np_dtype).kind, int)


def _mapping(builder: Any, title: str, splits: Mapping[str, str] | None) -> dict[str, str]:
    """Split of the data set for each split that is not taken out of train."""
    available = list(builder.info.splits)
    mapping = {split: split for split in SPLITS if split in available}
    for split, source in (splits or {}).items():
        if split not in SPLITS:
            raise ValueError(f"splits: expected keys out of {', '.join(SPLITS)}, found {split}")
        try:
            builder.info.splits[source]  # a split or a slice of one, such as train[:10%]
        except (KeyError, ValueError, AssertionError):
            raise ValueError(f"{title}: expected splits out of {', '.join(available)}, found {source}") from None
        mapping[split] = source
    if "train" not in mapping:
        raise ValueError(f"{title}: expected a split train or splits.train=NAME, found {', '.join(available)}")
    return mapping


def _state(builder: Any) -> list[tuple[str, int, str]]:
    """What tells one preparation of a data set from another: its metadata, and its files by name and size."""
    folder = Path(builder.data_dir)
    return sorted(
        (path.name, path.stat().st_size, path.read_text() if path.suffix == ".json" else "")
        for path in folder.iterdir()
        if path.is_file()
    )


def _examples(builder: Any, title: str, split: str, names: list[str]) -> Iterator[Mapping[str, Any]]:
    import tensorflow_datasets as tfds

    if builder.info.file_format == tfds.core.FileFormat.ARRAY_RECORD:
        # Taken apart here: TFDS decodes every feature of an example, which is far slower.
        source = builder.as_data_source(split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES)
        for record in _batched(source):
            features = features_of(record)
            yield {name: _value(features[name]) for name in names}
        return
    if builder.info.file_format in tfds.core.FileFormat.with_random_access():
        yield from _batched(builder.as_data_source(split))
        return
    try:
        import tensorflow  # noqa: F401
    except ImportError:
        raise ValueError(
            f"{title}: expected a format that is read without TensorFlow, which is not installed,"
            f" found {builder.info.file_format.value}"
        ) from None
    data = builder.as_dataset(
        split=split,
        shuffle_files=False,
        read_config=tfds.ReadConfig(interleave_cycle_length=1),  # else the order depends on the cores
        decoders=tfds.decode.PartialDecoding(dict.fromkeys(names, True)),
    )
    yield from tfds.as_numpy(data)


def _batched(source: Any) -> Iterator[Any]:
    for start in range(0, len(source), _BATCH):
        yield from source.__getitems__(range(start, min(start + _BATCH, len(source))))


def _value(feature: Any) -> bytes | int | float:
    values = feature.bytes_list.value or feature.int64_list.value or feature.float_list.value
    return values[0] if values else b""  # an optional feature that an example lacks


def _decoded(value: Any, field: str, where: str) -> str:
    try:
        return value.decode() if isinstance(value, bytes) else str(value)
    except UnicodeDecodeError as error:
        byte = value[error.start]
        raise ValueError(f"{where}: expected UTF-8 in feature {field}, found byte 0x{byte:02X}") from error


def _label(value: Any, kind: type, label: str, where: str) -> Label:
    return _decoded(value, label, where) if kind is str else kind(value)
