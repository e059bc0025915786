"""Runs Milvus in a folder until its input ends: ``milvus_guard.py FOLDER PORT``, a port of 0 is any that is free.

It is run by the environment that has the package ``milvus``, and says in one line of JSON which process and port.
"""

import json
import socket
import sys
from pathlib import Path

from milvus import MilvusServer  # type: ignore[import-not-found]


class Reusing(socket.socket):
    """So that the port of one that was killed is free at once."""

    def __init__(self, *given: int, **named: object) -> None:
        super().__init__(*given, **named)  # type: ignore[arg-type]
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


socket.socket = Reusing  # type: ignore[assignment,misc]
server = MilvusServer(debug=False)
server.set_base_dir(sys.argv[1])
if int(sys.argv[2]):
    server.listen_port = int(sys.argv[2])
server.start()
print(json.dumps({"port": server.listen_port, "process": server.server_proc.pid}), flush=True)
sys.stdin.read()
server.stop()
Path(sys.argv[1]).joinpath("stopped").touch()
