"""Several processes that train together: process 0 leads, the others follow, and each notices when another one ends.

Besides JAX's own connections there is one from process 0 to each other process. It carries what process 0 tells the
others to do, and signs of life. It is made first, because JAX ends a process with a stack trace where another one is
missing or has died; here that is one line. All of it is meant for a network that is trusted, as JAX's connections are.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, NoReturn

import numpy as np

from textae.config.choices import Distributed
from textae.config.schema import DistributedConfig
from textae.hardware import muted, require_jax, start_keras
from textae.training.interrupts import Interrupted, ProcessEnded

logger = logging.getLogger(__name__)

FAILURE, USAGE = 1, 2  # exit codes
_SECONDS_TO_LEAVE = 10.0  # how long a process may take that has to end
_SECONDS_TO_NOTICE = 1.0  # how long after an error one waits for word of a process that died and has caused it
_DATA, _BEAT = b"d", b"b"


class Message(NamedTuple):
    """What one process tells another: what to do, plain values, and arrays by name."""

    kind: str
    values: dict[str, Any]
    arrays: dict[str, np.ndarray]


class Place(NamedTuple):
    """Where a process stands among those that train together, as a launcher has said.

    `devices` are the numbers of its devices on its machine; None: all there are.
    """

    coordinator: str
    process_id: int
    num_processes: int
    devices: list[int] | None = None


class _Peer:
    """Another process, and the connection to it.

    One thread writes to it, so that a signal never leaves half a message behind, and another one reads.
    """

    def __init__(self, connection: Connection, process_id: int, described: str) -> None:
        self.connection, self.process_id, self.described = connection, process_id, described
        self.inbox: queue.Queue[Message] = queue.Queue()
        self.reader: threading.Thread | None = None
        self._outbox: queue.Queue[bytes | None] = queue.Queue()
        self._writer = threading.Thread(target=self._write, name="textae messages", daemon=True)
        self._writer.start()

    def send(self, kind: str, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> None:
        """Have a message sent."""
        from safetensors.numpy import save

        whole = {name: np.asarray(array, order="C") for name, array in (arrays or {}).items()}
        head = json.dumps([kind, values], default=float).encode()
        self._outbox.put(_DATA + len(head).to_bytes(8, "big") + head + save(whole))

    def beat(self) -> None:
        """Have a sign of life sent."""
        self._outbox.put(_BEAT)

    def flush(self, seconds: float = _SECONDS_TO_NOTICE) -> None:
        """Wait until all messages are on their way; there are no more of them."""
        self._outbox.put(None)
        self._writer.join(seconds)

    def _write(self) -> None:
        with suppress(OSError):  # the thread that reads tells what has happened
            while (content := self._outbox.get()) is not None:
                self.connection.send_bytes(content)

    def receive(self) -> Message | None:
        """Return the next message, or None for a sign of life."""
        from safetensors.numpy import load

        content = self.connection.recv_bytes()
        if content[:1] != _DATA:
            return None
        end = 9 + int.from_bytes(content[1:9], "big")
        kind, values = json.loads(content[9:end])
        return Message(kind, values, load(content[end:]))


class Processes:
    """The processes that train together, as one of them sees them; alone, there is one.

    Attributes:
        index, count: the number of this process, and how many there are.
        remedy: what is added to the line that says that another process has ended.
    """

    def __init__(self, index: int = 0, count: int = 1, silence: float = 30.0) -> None:
        self.index, self.count, self.silence = index, count, silence
        self.remedy = ""
        self.peers: list[_Peer] = []
        self._over = threading.Event()

    @property
    def leads(self) -> bool:
        """Whether this process says what is done, and writes all files."""
        return self.index == 0

    @property
    def alone(self) -> bool:
        """Whether there is no other process."""
        return self.count == 1

    def tell(self, kind: str, arrays: Mapping[str, np.ndarray] | None = None, **values: Any) -> None:
        """Tell all others something."""
        for peer in self.peers:
            peer.send(kind, values, arrays)

    def tell_each(self, kind: str, arrays: list[dict[str, np.ndarray]]) -> None:
        """Tell the others something, each with arrays of its own."""
        for peer, own in zip(self.peers, arrays, strict=True):
            peer.send(kind, {}, own)

    def hear_each(self) -> list[Message]:
        """Return the next message of each other process, in their order."""
        return [self._heard(peer) for peer in self.peers]

    def hear(self) -> Message:
        """Return the next message of process 0.

        Raises:
            ProcessEnded: the training was ended.
        """
        return self._heard(self.peers[0])

    def _heard(self, peer: _Peer) -> Message:
        message = peer.inbox.get()
        if message.kind == "end":
            raise ProcessEnded(message.values["line"], message.values["code"])
        return message

    def watch(self) -> None:
        """Begin to look after the others."""
        for peer in self.peers:
            peer.reader = threading.Thread(target=self._read, args=(peer,), name="textae processes", daemon=True)
            peer.reader.start()
        threading.Thread(target=self._beat, name="textae heartbeat", daemon=True).start()

    def _beat(self) -> None:
        while not self._over.wait(self.silence / 5):
            for peer in self.peers:
                peer.beat()

    def _read(self, peer: _Peer) -> None:
        try:
            while True:
                if not peer.connection.poll(self.silence):
                    return self._lost(peer, f"has given no sign of life for {self.silence:g} s")
                message = peer.receive()
                if message is not None and self._is_over(peer, message):
                    return None
        except (EOFError, OSError):
            return self._lost(peer, "has died")
        except Exception as error:
            return self._lost(peer, f"has sent what cannot be read ({error})")

    def _is_over(self, peer: _Peer, message: Message) -> bool:
        """Take note of a message; return whether it is the last one."""
        if message.kind == "signal":
            os.kill(os.getpid(), message.values["number"])
            return False
        if message.kind == "end" and self.leads:
            self._leave(message.values["line"], message.values["code"])
        if message.kind == "end":  # a process that computes together with one that has ended may wait for ever
            late = threading.Timer(_SECONDS_TO_LEAVE, os._exit, (message.values["code"],))
            late.daemon = True
            late.start()
        peer.inbox.put(message)
        return message.kind in ("end", "left")

    def _lost(self, peer: _Peer, how: str) -> None:
        if not self._over.is_set():
            self._leave(f"process {peer.process_id} of {self.count} ({peer.described}) {how}{self.remedy}", FAILURE)

    def _leave(self, line: str, code: int) -> NoReturn:
        """End this process at once, with a line, and the others with the same one."""
        self.end(line, code)
        with suppress(OSError):
            os.write(2, f"textae: {line}\n".encode())
        os._exit(code)

    def end(self, line: str, code: int) -> None:
        """Tell the others to end with a line and an exit code; there is no more to tell."""
        self.tell("end", line=line, code=code)
        for peer in self.peers:
            peer.flush()

    def fail(self, error: BaseException) -> None:
        """Tell the others that this process ends with an error, unless they have ended it."""
        if not isinstance(error, ProcessEnded):
            if isinstance(error, Exception) and not isinstance(error, Interrupted):
                time.sleep(_SECONDS_TO_NOTICE)  # a thread ends this process if another one's death is the reason
            words = " ".join(str(error).split()) or "stopped by a signal"
            self.end(f"process {self.index} of {self.count} has ended: {words}", _code(error))
        self._over.set()
        for peer in self.peers:
            if self.leads and peer.reader is not None:  # JAX would end it, with lines of its own, after process 0
                peer.reader.join(_SECONDS_TO_LEAVE + 1)
        _disconnect()

    def finish(self) -> None:
        """End together: the others first, since process 0 has what JAX's connections depend on."""
        if self.leads:
            self.hear_each()
            self._over.set()
            return _disconnect()
        _disconnect()
        self._over.set()
        self.tell("left")
        return self.peers[0].flush()


def _code(error: BaseException) -> int:
    if isinstance(error, Interrupted | KeyboardInterrupt):
        return getattr(error, "exit_code", 128 + signal.SIGINT)
    return USAGE if isinstance(error, ValueError | FileNotFoundError) else FAILURE


@contextmanager
def joined(settings: DistributedConfig) -> Iterator[Processes]:
    """Join the processes that train together, before anything is computed; within the block they are connected.

    Raises:
        ValueError: the Keras backend is not JAX, JAX has computed already, or the processes do not fit together.
        TimeoutError: a process has not come in time.
        ProcessEnded: another process has ended the training.
    """
    if settings.mode is Distributed.none:
        yield Processes()
        return
    start_keras(compute=False)
    require_jax()
    place = _place(settings)
    if place is None or place.num_processes == 1:
        yield Processes()
        return
    import jax

    if jax.distributed.is_initialized():
        raise ValueError("expected one run of several processes in each of them, received another one")
    processes, address = _meet(place, settings)
    before = logging.getLogger("textae").level
    try:
        processes.watch()
        _connect_jax(place, address, settings)
        if not processes.leads:
            logging.getLogger("textae").setLevel(logging.WARNING)
        with _signals_to_process_0(processes):
            yield processes
    except BaseException as error:
        processes.fail(error)
        raise
    else:
        processes.finish()
    finally:
        logging.getLogger("textae").setLevel(before)


def _place(settings: DistributedConfig) -> Place | None:
    """Return the place that the settings or a launcher have given this process; None where it is alone."""
    if settings.coordinator is not None and settings.process_id is not None and settings.num_processes is not None:
        return Place(settings.coordinator, settings.process_id, settings.num_processes)
    sizes = (os.environ.get(name, "1") for name in ("SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE"))
    if all(size == "1" for size in sizes) and "JOB_COMPLETION_INDEX" not in os.environ:
        return None
    from jax._src.clusters import ClusterEnv  # what `jax.distributed.initialize` asks, which tells nobody else

    timeout = max(1, round(settings.join_timeout_seconds))
    try:
        found = ClusterEnv.auto_detect_unset_distributed_params(None, None, None, None, None, timeout)
    except (RuntimeError, KeyError, ValueError) as error:
        raise ValueError(f"distributed=auto: {' '.join(str(error).split())}; {_EXPLICIT}") from error
    address, count, index, devices = found
    if address is None or count is None or index is None:
        return None
    return Place(address, index, count, None if devices is None else list(devices))


_EXPLICIT = "distributed.coordinator, distributed.process_id and distributed.num_processes say it in its place"


def _meet(place: Place, settings: DistributedConfig) -> tuple[Processes, str]:
    """Return the processes, all of which have come, and the address of JAX's own service."""
    processes = Processes(place.process_id, place.num_processes, settings.heartbeat_timeout_seconds)
    deadline = time.monotonic() + settings.join_timeout_seconds
    host, _, port = place.coordinator.rpartition(":")
    if not processes.leads:
        return processes, _join(processes, place, host.strip("[]"), int(port), deadline, settings)
    with _listening(int(port)) as listener:
        while len(processes.peers) + 1 < place.num_processes:
            _welcome_next(processes, listener, deadline, place, settings)
    address = f"{host}:{_free_port()}"
    processes.peers.sort(key=lambda peer: peer.process_id)
    processes.tell("welcome", address=address)
    return processes, address


def _listening(port: int) -> socket.socket:
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(("", port))
    except OSError as error:
        raise ValueError(f"expected a free port for distributed.coordinator, found {port}: {error.strerror}") from error


def _free_port() -> int:
    with socket.create_server(("", 0)) as found:
        return found.getsockname()[1]


def _welcome_next(
    processes: Processes, listener: socket.socket, deadline: float, place: Place, settings: DistributedConfig
) -> None:
    """Accept the next process."""
    try:
        listener.settimeout(max(deadline - time.monotonic(), 0.001))
        accepted, _ = listener.accept()
    except TimeoutError:
        there = {peer.process_id for peer in processes.peers}
        missing = [str(k) for k in range(1, place.num_processes) if k not in there]
        shown = ", ".join(missing[:10]) + (" ..." if len(missing) > 10 else "")
        line = (
            f"expected {place.num_processes} processes within {settings.join_timeout_seconds:g} s "
            f"(distributed.join_timeout_seconds), found {len(there) + 1}; missing: process {shown}"
        )
        processes.end(line, FAILURE)
        raise TimeoutError(line) from None
    peer = _Peer(_connection(accepted), -1, "")
    try:
        if not peer.connection.poll(_SECONDS_TO_LEAVE):
            return
        hello = peer.receive()
        if hello is None or hello.kind != "hello":
            return
    except (EOFError, OSError, ValueError):  # whoever it was, it is no process of ours
        return
    values = hello.values
    peer.process_id, peer.described = values["process_id"], f"{values['host']}, pid {values['pid']}"
    taken = {0, *(other.process_id for other in processes.peers)}
    processes.peers.append(peer)
    if values["num_processes"] != place.num_processes or peer.process_id in taken:
        line = (
            f"expected processes 0 to {place.num_processes - 1} of {place.num_processes}, one of each, found process "
            f"{peer.process_id} of {values['num_processes']} ({peer.described})"
        )
        processes.end(line, USAGE)
        raise ValueError(line)


def _join(
    processes: Processes, place: Place, host: str, port: int, deadline: float, settings: DistributedConfig
) -> str:
    """Connect to process 0, and return the address of JAX's service."""
    waited = f"within {settings.join_timeout_seconds:g} s (distributed.join_timeout_seconds)"
    connected = None
    while connected is None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"expected process 0 at {place.coordinator} {waited}, found none")
        try:
            connected = socket.create_connection((host, port), timeout=min(left, 5.0))
        except OSError:
            time.sleep(min(0.2, max(left, 0.0)))
    connected.settimeout(None)
    peer = _Peer(_connection(connected), 0, place.coordinator)
    processes.peers.append(peer)
    own = {"host": socket.gethostname(), "pid": os.getpid()}
    peer.send("hello", {"process_id": place.process_id, "num_processes": place.num_processes} | own)
    try:
        # Process 0 began to wait at another time, and says itself who is missing.
        if not peer.connection.poll(max(deadline - time.monotonic(), 0) + settings.join_timeout_seconds):
            raise TimeoutError(f"expected all processes at {place.coordinator} {waited}, found no word of process 0")
        message = peer.receive()
    except (EOFError, ConnectionError):
        message = None
    if message is None:
        raise ConnectionError(f"process 0 of {place.num_processes} ({place.coordinator}) has died") from None
    if message.kind == "end":
        raise ProcessEnded(message.values["line"], message.values["code"])
    return message.values["address"]


def _connection(connected: socket.socket) -> Connection:
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.settimeout(None)
    return Connection(connected.detach())


def _connect_jax(place: Place, address: str, settings: DistributedConfig) -> None:
    """Have JAX connect the devices of all processes."""
    import jax
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    jax.config.update("jax_enable_recoverability", True)  # a process that ends does not wait for one that has died
    silence = round(2 * settings.heartbeat_timeout_seconds) + 10  # after our own line
    try:
        jax.distributed.initialize(
            address,
            place.num_processes,
            place.process_id,
            local_device_ids=place.devices,
            cluster_detection_method="deactivate",
            initialization_timeout=max(60, round(settings.join_timeout_seconds)),
            heartbeat_timeout_seconds=silence,
        )
    except RuntimeError as error:
        raise ValueError(f"expected to join the other processes before JAX computes, found: {error}") from error
    with muted():  # gloo writes a line to standard output when it connects
        mesh = Mesh(np.array(jax.devices()), ("all",))
        own = np.ones(len(jax.local_devices()), np.float32)
        ones = jax.make_array_from_process_local_data(NamedSharding(mesh, PartitionSpec("all")), own)
        found = float(jax.jit(lambda x: x.sum(), out_shardings=NamedSharding(mesh, PartitionSpec()))(ones))
    if found != len(jax.devices()):
        raise ValueError(f"expected {len(jax.devices())} devices that add up, found {found:g}")


def _disconnect() -> None:
    import jax

    with suppress(RuntimeError, ValueError):
        jax.distributed.shutdown()


@contextmanager
def _signals_to_process_0(processes: Processes) -> Iterator[None]:
    """Hand Ctrl-C and SIGTERM on to process 0, which ends the training of all."""
    if processes.leads or threading.current_thread() is not threading.main_thread():
        yield
        return

    def hand_on(number: int, frame: Any) -> None:
        processes.tell("signal", number=number)

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
