"""Several processes that train together: how they find each other, end together, and go on."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from multiprocessing.connection import Connection

import keras
import numpy as np
import pytest

from helpers.event_files import served
from helpers.jax_compiling import XLA_FLAGS
from helpers.runs import NOISY
from textae.config.schema import DistributedConfig
from textae.inference.codec import Reconstructed
from textae.runs import run_folder
from textae.runs.arrays import read_arrays
from textae.runs.json_files import read_json
from textae.runs.run_folder import RunDir
from textae.training import following, processes
from textae.training.checkpoint import continues
from textae.training.interrupts import Interrupted, ProcessEnded
from textae.training.processes import Place, Processes

pytestmark = pytest.mark.backend_free


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def settings(port, process_id=0, count=2, **more):
    address = f"127.0.0.1:{port}"
    return DistributedConfig(mode="auto", coordinator=address, process_id=process_id, num_processes=count, **more)


def met(port, process_id, count=2, **more):
    place = Place(f"127.0.0.1:{port}", process_id, count)
    return processes._meet(place, settings(port, process_id, count, **more))


class Codes(list):
    """The exit codes with which this process would end."""

    def __init__(self):
        super().__init__()
        self.first = threading.Event()

    def leave(self, code):
        self.append(code)
        self.first.set()

    def wait(self):
        return self.first.wait(10)


@pytest.fixture
def ended(monkeypatch):
    codes = Codes()
    monkeypatch.setattr(os, "_exit", codes.leave)
    monkeypatch.setattr(processes, "_disconnect", lambda: None)
    return codes


@contextmanager
def pair(silence=30.0):
    """Processes 0 and 1 of 2, connected within this process."""
    both = [Processes(index, 2, silence) for index in (0, 1)]
    for process, end, other in zip(both, socket.socketpair(), (1, 0), strict=True):
        process.peers.append(processes._Peer(Connection(end.detach()), other, f"host, pid {other}"))
    for process in both:
        process.watch()
    try:
        yield both
    finally:
        for process in both:
            process._over.set()


def hang_up(process):
    """End a process's connection, as the system does when it dies."""
    with socket.socket(fileno=os.dup(process.peers[0].connection.fileno())) as own:
        own.shutdown(socket.SHUT_RDWR)


def test_processes_meet_and_talk(ended):
    port, found = free_port(), {}

    def come(index):
        found[index] = met(port, index, 3)

    threads = [threading.Thread(target=come, args=(index,)) for index in (1, 2, 0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len({address for _, address in found.values()}) == 1
    leader, *others = (found[index][0] for index in range(3))
    assert [peer.process_id for peer in leader.peers] == [1, 2]
    assert str(os.getpid()) in leader.peers[0].described
    for process in (leader, *others):
        process.watch()
    arrays = {"scalar": np.float32(2), "turned": np.arange(6).reshape(2, 3).T, "none": np.zeros((0, 3), bool)}
    leader.tell("step", arrays, learning_rate=np.float64(0.5), counted=np.int64(3))
    for other in others:
        message = other.hear()
        assert (message.kind, message.values) == ("step", {"learning_rate": 0.5, "counted": 3})
        for name, array in arrays.items():
            np.testing.assert_array_equal(message.arrays[name], array)
            assert message.arrays[name].shape == np.shape(array)
    for other in others:
        other.tell("answer", index=other.index)
    assert [message.values["index"] for message in leader.hear_each()] == [1, 2]
    threads = [threading.Thread(target=process.finish) for process in (leader, others[0], others[1])]
    assert [other.peers[0].inbox.qsize() for other in others] == [0, 0]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    time.sleep(0.1)
    assert ended == []


def test_a_missing_process_is_named():
    with pytest.raises(TimeoutError, match=r"3 processes within 0.2 s .* found 1; missing: process 1, 2"):
        met(free_port(), 0, 3, join_timeout_seconds=0.2)


def test_a_missing_coordinator_is_named():
    with pytest.raises(TimeoutError, match=r"process 0 at 127.0.0.1:\d+ within 0.3 s .* found none"):
        met(free_port(), 1, join_timeout_seconds=0.3)


def test_processes_that_do_not_fit_together_end_together():
    port, errors = free_port(), {}

    def come(index, count):
        try:
            met(port, index, count, join_timeout_seconds=10)
        except (ValueError, ProcessEnded) as error:
            errors[index] = error

    threads = [threading.Thread(target=come, args=arguments) for arguments in ((0, 2), (1, 3))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert isinstance(errors[0], ValueError)
    assert "found process 1 of 3" in str(errors[0])
    assert str(errors[1]) == str(errors[0])
    assert errors[1].exit_code == 2


def test_a_port_that_is_taken():
    with socket.create_server(("", 0)) as taken, pytest.raises(ValueError, match="expected a free port"):
        met(taken.getsockname()[1], 0)


def test_a_process_that_dies_ends_the_others(ended, capfd):
    with pair() as (leader, other):
        leader.remedy = "; go on"
        other._over.set()
        hang_up(other)
        assert ended.wait()
    assert ended == [1]
    assert capfd.readouterr().err == "textae: process 1 of 2 (host, pid 1) has died; go on\n"


def test_a_silent_process_ends_the_others(ended, capfd):
    with pair(silence=0.3) as (leader, other):
        other._over.set()  # which also ends its signs of life
        assert ended.wait()
        leader._over.set()
    assert "process 1 of 2 (host, pid 1) has given no sign of life for 0.3 s" in capfd.readouterr().err


def test_signs_of_life_are_enough(ended):
    with pair(silence=0.5):
        time.sleep(1.2)
        assert ended == []


@pytest.mark.parametrize(
    ("error", "code"), [(ValueError("expected\nthis"), 2), (FloatingPointError("nan"), 1), (Interrupted(15), 143)]
)
def test_an_error_of_process_0_ends_the_others_in_order(ended, monkeypatch, error, code):
    monkeypatch.setattr(processes, "_SECONDS_TO_NOTICE", 0.2)
    monkeypatch.setattr(processes, "_SECONDS_TO_LEAVE", 60.0)
    with pair() as (leader, other):
        failing = threading.Thread(target=leader.fail, args=(error,))
        failing.start()
        with pytest.raises(ProcessEnded, match="process 0 of 2 has ended: ") as found:
            other.hear()
        other.fail(found.value)
        hang_up(other)
        failing.join(10)
    assert found.value.exit_code == code
    assert "\n" not in str(found.value)
    assert ended == []


def test_an_error_of_another_process_ends_process_0(ended, monkeypatch, capfd):
    monkeypatch.setattr(processes, "_SECONDS_TO_NOTICE", 0.2)
    with pair() as (_, other):
        other.fail(ValueError("expected this"))
        assert ended.wait()
    assert ended == [2]
    assert capfd.readouterr().err == "textae: process 1 of 2 has ended: expected this\n"


def test_a_signal_goes_to_process_0(monkeypatch):
    received = []
    monkeypatch.setattr(os, "kill", lambda pid, number: received.append((pid, number)))
    with pair() as (leader, other), processes._signals_to_process_0(other):
        signal.raise_signal(signal.SIGTERM)
        other.tell("answer")
        leader.hear_each()
    assert received == [(os.getpid(), signal.SIGTERM)]


@pytest.mark.parametrize("variational", [False, True])
def test_reconstructions_come_back_as_they_were_sent(variational):
    draw = np.random.default_rng(0)

    def document(length):
        latents = draw.standard_normal((length, 3)).astype(np.float32)
        return Reconstructed(
            ids=draw.integers(2, 9, length).astype(np.int32),
            correct=draw.random(length + 1) < 0.5,
            token_losses=draw.random(length + 1).astype(np.float32),
            latents=latents,
            log_variances=-latents if variational else None,
        )

    for sent in ([document(3), None, document(0)], [None], []):
        found = following._answered(following._answer(sent))
        assert [one is None for one in found] == [one is None for one in sent]
        for one, other in zip(found, sent, strict=True):
            if one is not None:
                for name in ("ids", "correct", "token_losses", "latents"):
                    np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
                assert (one.log_variances is None) == (not variational)


def test_tensorflow_says_that_jax_is_needed():
    if keras.backend.backend() == "jax":
        pytest.skip("on JAX it is there")
    joining = processes.joined(DistributedConfig(mode="auto"))
    with pytest.raises(ValueError, match="expected KERAS_BACKEND=jax with distributed=auto, found tensorflow"):
        joining.__enter__()


def test_without_other_processes_there_is_one():
    with processes.joined(DistributedConfig()) as found:
        assert (found.index, found.count, found.leads, found.alone) == (0, 1, True, True)
        found.tell("step")
        assert found.hear_each() == []


def test_slurm_says_where_a_process_stands(monkeypatch):
    assert processes._place(DistributedConfig(mode="auto")) is None
    said = {"JOB_ID": 5, "STEP_NODELIST": "node[01-02],other", "NTASKS": 4, "PROCID": 3, "LOCALID": 1}
    for name, value in said.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    found = processes._place(DistributedConfig(mode="auto"))
    assert found == Place(f"node01:{65535 - 2**12 + 1 + 5}", 3, 4, [1])
    monkeypatch.setenv("SLURM_NTASKS", "1")
    assert processes._place(DistributedConfig(mode="auto")) is None


def test_the_devices_of_a_run_may_change(trained, tiny_config):
    folder, _ = trained
    config = tiny_config(**{"distributed.mode": "auto", "distributed.heartbeat_timeout_seconds": 5.0})
    assert continues(config, RunDir(folder)) == (True, False)


CHANGED = {
    "log_every_steps": 1,
    "schedule": "constant",
    "learning_rate": 0.003,
    "patience": "null",
    "num_length_buckets": 1,
    "eval_every_steps": 100,
    "checkpoint_every_minutes": 0,
    "precision": "float32",
}
RUN = [setting for setting in NOISY if setting.partition("=")[0] not in {f"training.{key}" for key in CHANGED}]
RUN = [setting for setting in RUN if not setting.startswith("training.max_steps=")]
RUN += [f"training.{key}={value}" for key, value in CHANGED.items()]
STEPS = 30  # so many that a process can be killed before the last


class Trainings:
    """A folder in which runs are started by one process or by two, on JAX with one thread each."""

    def __init__(self, folder, corpus_file):
        self.folder, self.corpus = folder, corpus_file

    def start(self, run, steps, process=None, port=None, devices=1, *more):
        environment = os.environ | {
            "KERAS_BACKEND": "jax",
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": f"{XLA_FLAGS} --xla_force_host_platform_device_count={devices}",
        }
        command = [sys.executable, "-m", "textae.train", *RUN, f"corpus.files=[{self.corpus}]", *more]
        command += [
            f"training.max_steps={steps}",
            f"hydra.run.dir={run}",
            "data_dir=data",
            "training.precision=float32",
        ]
        if process is not None or devices > 1:
            command.append("distributed=auto")
        if process is not None:
            command += [f"distributed.coordinator=127.0.0.1:{port}", f"distributed.process_id={process}"]
            command += ["distributed.num_processes=2"]
        return subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def two(self, run, steps, *more):
        port = free_port()
        return [self.start(run, steps, process, port, 1, *more) for process in (0, 1)]

    def losses(self, run):
        return dict(served(self.folder / run / "train", "1_quality/loss"))


def finished(*started):
    """What the processes printed, which all ended well."""
    found = [process.communicate(timeout=600) for process in started]
    assert [process.returncode for process in started] == [0] * len(started), found
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory, corpus_file):
    return Trainings(tmp_path_factory.mktemp("processes"), corpus_file)


@pytest.fixture(scope="module")
def whole(place):
    """A run of two processes that nobody touched, beside one of one process."""
    finished(place.start("one", STEPS))
    (out, _), (other_out, other_errors) = finished(*place.two("two", STEPS))
    assert out.splitlines() == [str(place.folder / "two" / run_folder.METRICS)]
    assert (other_out, other_errors) == ("", "")
    return place.folder / "two"


@pytest.mark.slow
def test_two_processes_train_as_one(place, whole):
    one, two = place.losses("one"), place.losses("two")
    assert list(one) == list(two) == list(range(1, STEPS + 1))
    for step, loss in two.items():  # rounding grows from update to update
        assert loss == pytest.approx(one[step], rel=1e-5 if step <= 10 else 1e-3), step
    first, second = (read_json(place.folder / run / run_folder.METRICS) for run in ("one", "two"))
    assert set(first) == set(second)
    for name in ("loss", "noisy_loss", "tokens", "documents", "examples_seen", "corrupted_loss"):
        assert second[name] == pytest.approx(first[name], rel=1e-3), name
    assert {path.name for path in whole.iterdir()} == {path.name for path in (place.folder / "one").iterdir()}


@pytest.mark.slow
def test_a_run_goes_on_with_other_devices(place, whole):
    finished(place.start("changing", 5, devices=2))
    finished(place.start("changing", 10))
    one, changing = place.losses("one"), place.losses("changing")
    assert list(changing) == list(range(1, 11))
    for step, loss in changing.items():
        assert one[step] == pytest.approx(loss, rel=1e-5), step


def kill(place, both, killed, run):
    """Kill one of two processes once there is a checkpoint, and look at how the other one ends."""
    checkpoint, deadline = place.folder / run / run_folder.CHECKPOINT, time.monotonic() + 300
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    both[killed].kill()
    began = time.monotonic()
    _, errors = both[1 - killed].communicate(timeout=60)
    assert time.monotonic() - began < 60
    both[killed].communicate(timeout=60)
    assert [both[killed].returncode, both[1 - killed].returncode] == [-signal.SIGKILL, 1], errors
    (line,) = [line for line in errors.splitlines() if line.startswith("textae: ")]
    assert re.fullmatch(rf"textae: process {killed} of 2 \(.*\) has died; the same commands, .*{run}, go on.*", line)


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_other_and_the_same_commands_go_on(place, whole):
    """Process 0 is killed; what it says of another one that dies is tested above."""
    steps = read_json(whole / run_folder.METRICS)["steps"]
    kill(place, place.two("killed", steps), 0, "killed")
    finished(*place.two("killed", steps))
    (kept, _), (expected, _) = (read_arrays(folder / run_folder.LAST) for folder in (place.folder / "killed", whole))
    for name, values in expected.items():
        np.testing.assert_array_equal(kept[name], values, err_msg=name)
