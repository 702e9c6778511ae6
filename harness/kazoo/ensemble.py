"""Ensembles of real `vivarium` processes on this machine, for the tests with kazoo.

The server's binary is named by the environment variable VIVARIUM. Each ensemble has a folder of its own; servers are
ended by their own process ids.
"""

import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

# Longer than anything takes on a slow machine: only a failing test waits for it.
PATIENCE = 120.0

CONFIG = """\
dataDir={data}
clientPort={client}
clientPortAddress=127.0.0.1
tickTime={tick}
initLimit=50
syncLimit=25
maxSessionTimeout=60000
maxClientCnxns=0
4lw.commands.whitelist=*
"""


def eventually(what, condition, patience=PATIENCE):
    """Polls until the condition gives something true, and gives that."""
    deadline = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"gave up waiting for this: {what}"
        time.sleep(0.02)


def free_ports(count):
    """Ports that nobody listens on, below those that the system gives to outgoing connections."""
    ports = []
    while len(ports) < count:
        port = random.randrange(10_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in ports:
            ports.append(port)
    return ports


class Server:
    """One server of an ensemble: its files, and its process while it runs."""

    def __init__(self, folder, number, client_port, peers, tick, more):
        self.number = number
        self.host = "127.0.0.1"
        self.client_port = client_port
        self.folder = pathlib.Path(folder) / f"server-{number}"
        self.data = self.folder / "data"
        self.config = self.folder / "zoo.cfg"
        self.log = self.folder / "log"
        self.process = None
        text = CONFIG.format(data=self.data, client=client_port, tick=tick) + more
        if len(peers) > 1:
            for peer, (quorum, election) in enumerate(peers, start=1):
                text += f"server.{peer}=127.0.0.1:{quorum}:{election}\n"
        self.prepare()
        self.config.write_text(text)

    def prepare(self):
        self.data.mkdir(parents=True, exist_ok=True)
        (self.data / "myid").write_text(f"{self.number}\n")

    @property
    def address(self):
        return f"{self.host}:{self.client_port}"

    @property
    def running(self):
        return self.process is not None

    def run(self):
        """Starts the process; does not wait until it serves."""
        if self.running:
            return
        with open(self.log, "ab") as log:
            command = [os.environ["VIVARIUM"], "serve", "--config", str(self.config)]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def end(self, how):
        if self.running:
            self.process.send_signal(how)
            status = self.process.wait(PATIENCE)
            self.process = None
            return status
        return None

    def stop(self):
        """Ends the process in good order."""
        status = self.end(signal.SIGTERM)
        assert status in (None, 0), f"server {self.number} ended with {status}, not 0"

    def kill(self):
        self.end(signal.SIGKILL)

    def four(self, word):
        """The answer to a four-letter word, '' when nobody answers."""
        try:
            with socket.create_connection((self.host, self.client_port), 5) as connection:
                connection.sendall(word.encode())
                parts = []
                while part := connection.recv(65_536):
                    parts.append(part)
                return b"".join(parts).decode()
        except OSError:
            return ""

    def mode(self):
        for line in self.four("srvr").splitlines():
            if line.startswith("Mode: "):
                return line.removeprefix("Mode: ")
        return None

    def last_lines(self, count=50):
        return self.log.read_text(errors="replace").splitlines(True)[-count:] if self.log.exists() else []


class Ensemble:
    """Servers that know each other. Usable with `with`."""

    def __init__(self, size=3, tick=200, more=""):
        self.folder = tempfile.mkdtemp(prefix="vivarium-kazoo-")
        ports = free_ports(3 * size)
        peers = [(ports[3 * i + 1], ports[3 * i + 2]) for i in range(size)]
        self.servers = [Server(self.folder, i + 1, ports[3 * i], peers, tick, more) for i in range(size)]

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            for server in self.servers:
                print(f"---- the last lines of server {server.number}'s log")
                print("".join(server.last_lines()))
        self.destroy()

    @property
    def hosts(self):
        return ",".join(server.address for server in self.servers)

    def start(self):
        for server in self.servers:
            server.run()
        self.wait_until_serving()

    def wait_until_serving(self):
        for server in self.servers:
            if server.running:
                eventually(f"server {server.number} serves", server.mode)

    def leader(self):
        def find():
            return next((server for server in self.servers if server.mode() in ("leader", "standalone")), None)

        return eventually("a leader", find)

    def destroy(self):
        for server in self.servers:
            server.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
