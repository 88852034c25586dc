"""`python` for the commands of a page: `fork_client.py SOCKET -m textae.COMMAND ...` is done by a fork of the server.

It imports nothing of size. Another backend, and options of the interpreter, need an interpreter of their own.
"""

import json
import os
import socket
import sys
from pathlib import Path


def main(address, *arguments):
    """Have a fork do it, with this process's streams, folder and environment; end as it ends."""
    other_backend = os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow"
    if other_backend or arguments[0] not in ("-m", "-c"):
        os.execv(sys.executable, [sys.executable, *arguments])
    request = {"program": arguments, "cwd": str(Path.cwd()), "env": dict(os.environ)}
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        socket.send_fds(server, [json.dumps(request).encode() + b"\n"], [0, 1, 2])
        with server.makefile() as answers:
            answers.readline()  # the process's number
            sys.exit(int(answers.readline()) % 256)


if __name__ == "__main__":
    main(*sys.argv[1:])
