import json
import multiprocessing

import numpy as np
import pytest

from textae.data.token_store import TokenStore, open_store, write_store

pytestmark = pytest.mark.backend_free

RNG = np.random.default_rng(5)
DOCUMENTS = [RNG.integers(2, 300, int(n), dtype=np.int32) for n in RNG.integers(0, 40, 101)]


def batches(documents=DOCUMENTS, size=7):
    return (documents[i : i + size] for i in range(0, len(documents), size))


def test_documents_come_back(tmp_path):
    store = write_store(tmp_path / "a" / "store", batches(), 300)
    store = open_store(tmp_path / "a" / "store")
    assert len(store) == 101 and store.vocabulary_size == 300
    assert store.tokens == sum(map(len, DOCUMENTS))
    np.testing.assert_array_equal(store.lengths, [len(d) for d in DOCUMENTS])
    for i, document in enumerate(DOCUMENTS):
        assert store[i].dtype == np.int32
        np.testing.assert_array_equal(store[i], document)
    np.testing.assert_array_equal(store[-1], DOCUMENTS[-1])
    with pytest.raises(IndexError):
        store[101]
    store.verify()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["store"]


@pytest.mark.parametrize(
    ("vocabulary_size", "width"), [(3, 1), (258, 1), (259, 2), (65538, 2), (65539, 4), (1 << 20, 4)]
)
def test_smallest_type_that_holds_the_vocabulary(tmp_path, vocabulary_size, width):
    ids = np.array([2, vocabulary_size - 1, 2])
    store = write_store(tmp_path / "s", [[ids], []], vocabulary_size)
    np.testing.assert_array_equal(store[0], ids)
    assert (tmp_path / "s" / "ids.bin").stat().st_size == 3 * width
    assert (tmp_path / "s" / "lengths.bin").stat().st_size == 4


@pytest.mark.parametrize("bad", [0, 1, -3, 300])
def test_ids_outside_are_refused_and_leave_nothing(tmp_path, bad):
    with pytest.raises(ValueError, match=rf"from 2 to 299, received .*{bad}"):
        write_store(tmp_path / "s", [[np.array([5])], [np.array([bad])]], 300)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="1-D integer"):
        write_store(tmp_path / "s", [[np.array([0.5])]], 300)


def test_an_error_of_the_reader_leaves_nothing(tmp_path):
    def broken():
        yield DOCUMENTS[:3]
        assert not (tmp_path / "s").exists()
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        write_store(tmp_path / "s", broken(), 300)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("encoded", [[], [[]], [[np.zeros(0, np.int32)] * 3]])
def test_no_tokens(tmp_path, encoded):
    store = write_store(tmp_path / "s", encoded, 300)
    assert store.tokens == 0 and len(store) == sum(map(len, encoded))
    assert store.gather(np.zeros(0, np.int64), np.zeros(0, np.int64)).shape == (0,)
    store.verify()


def test_a_finished_store_is_taken_and_another_refused(tmp_path):
    write_store(tmp_path / "s", batches(), 300)
    assert len(write_store(tmp_path / "s", batches(size=3), 300)) == 101
    with pytest.raises(ValueError, match="already holds another store"):
        write_store(tmp_path / "s", batches(DOCUMENTS[1:]), 300)
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "note").write_text("mine")
    with pytest.raises(ValueError, match="not a usable token store"):
        write_store(tmp_path / "t", batches(), 300)
    assert {path.name for path in tmp_path.iterdir()} == {"s", "t"}


@pytest.mark.parametrize("store", ["mapped", "memory"])
def test_gather(tmp_path, store):
    store = write_store(tmp_path / "s", batches(), 300) if store == "mapped" else TokenStore.from_arrays(DOCUMENTS, 300)
    flat = np.concatenate(DOCUMENTS)
    starts, lengths = np.array([9, 0, 50, 7]), np.array([3, 0, 20, 1])
    expected = np.concatenate([flat[9:12], flat[50:70], flat[7:8]])
    np.testing.assert_array_equal(store.gather(starts, lengths), expected)
    np.testing.assert_array_equal(store.starts, np.cumsum([0, *map(len, DOCUMENTS)])[:-1])


def test_in_memory():
    store = TokenStore.from_arrays([[5, 900], [], np.array([2])])
    assert [list(store[i]) for i in range(3)] == [[5, 900], [], [2]]
    assert store.vocabulary_size == 901
    store.verify()
    with pytest.raises(ValueError, match="from 2 to 299"):
        TokenStore.from_arrays([*DOCUMENTS[:2], [300]], 300)


@pytest.mark.parametrize("name", ["ids.bin", "lengths.bin"])
def test_damage_is_noticed(tmp_path, name):
    path = tmp_path / "s" / name
    write_store(tmp_path / "s", batches(), 300)
    content = path.read_bytes()

    path.write_bytes(content[:-1])
    with pytest.raises(ValueError, match=rf"{name} is damaged: expected {len(content)} bytes, found"):
        open_store(tmp_path / "s")

    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(ValueError, match=rf"{name} is damaged"):
        open_store(tmp_path / "s").verify()

    if name == "lengths.bin":
        with pytest.raises(ValueError, match=r"lengths\.bin is damaged: expected \d+ tokens, found"):
            open_store(tmp_path / "s")

    path.unlink()
    with pytest.raises(ValueError, match=rf"{name} is not readable"):
        open_store(tmp_path / "s")


@pytest.mark.parametrize(
    "change",
    [{"format": 2}, {"documents": -1}, {"tokens": "9"}, {"tokens": True}, {"dtype": "<u4"}, {"sha256": {}},
     {"vocabulary_size": 1}, {"documents": 1 << 70}],
)  # fmt: skip
def test_damaged_description(tmp_path, change):
    write_store(tmp_path / "s", batches(), 300)
    path = tmp_path / "s" / "store.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=r"store\.json is not a usable token store: expected"):
        open_store(tmp_path / "s")
    path.write_text("{")
    with pytest.raises(ValueError, match=r"store\.json is not a usable"):
        open_store(tmp_path / "s")


def total(folder):
    return int(sum(map(len, open_store(folder))))


def test_many_readers(tmp_path):
    write_store(tmp_path / "s", batches(), 300)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.map(total, [tmp_path / "s"] * 4) == [sum(map(len, DOCUMENTS))] * 4
