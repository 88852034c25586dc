"""`textae.demo` refuses what it cannot do in one line, and ends at once when it is stopped."""

import importlib.util
import os
import signal
import socket
import tempfile
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.backend_free


def test_a_port_that_is_taken(forks, trained, data_dir, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = forks.run([f"run={trained[0]}", f"port={port}", f"data_dir={data_dir}"], command="demo", cwd=tmp_path)
    assert ended.code == 2 and ended.output == b""
    assert ended.errors == (
        f"textae: port: expected a free port, found {port}: Address already in use; port=0 takes any free one\n"
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run=nowhere"], "textae: run: expected a run folder, found no folder nowhere"),
        ([], "textae: expected run=..., found none"),
        (["run=nowhere", "port=65536"], "textae: expected port of at most 65535, received 65536"),
        (["run=nowhere", "prot=1"], "textae: unknown key prot; did you mean port?"),
    ],
)
def test_what_is_refused(forks, tmp_path, arguments, says):
    ended = forks.run(arguments, command="demo", cwd=tmp_path)
    assert ended.code == 2 and ended.errors.startswith(says) and ended.errors.count("\n") == 1


def test_without_gradio(command, trained, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "gradio" else find(name))
    with pytest.raises(ValueError, match=r"expected the package gradio, found none: pip install 'textae\[demo\]'"):
        command("demo", f"run={trained[0]}")


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code", "name"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")])
def test_a_signal_ends_it_at_once(forks, broken, tmp_path, sent, code, name):
    """Without its corpus, which the page does without."""
    pytest.importorskip("gradio")
    config = broken / "config.yaml"
    config.write_text(config.read_text().replace("lines.txt", "gone.txt"))
    place = tmp_path / "place"
    place.mkdir()
    process = forks.start([f"run={broken}", "port=0", "data_dir=empty"], command="demo", cwd=place)
    output, deadline = process.folder / "output", time.monotonic() + 120
    while not output.exists() or b"\n" not in output.read_bytes():
        assert time.monotonic() < deadline, process.errors()
        time.sleep(0.1)
    (uploads,) = Path(tempfile.gettempdir()).glob(f"textae_demo_{process.pid}_*")
    stopped = time.monotonic()
    os.kill(process.pid, sent)
    ended = forks.wait(process)
    assert ended.code == code and time.monotonic() - stopped < 30  # idle: 0.3 s
    assert list(place.iterdir()) == [] and not uploads.exists()
    assert ended.output.startswith(b"http://127.0.0.1:")
    warning, there, last = ended.errors.splitlines()
    assert warning.startswith("no noise, bits and baselines: the corpus of ") and "gone.txt" in warning
    assert there == "the page is there until Ctrl-C" and last == f"textae: stopped by {name}"
