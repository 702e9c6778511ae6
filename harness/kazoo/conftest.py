"""What the tests with kazoo share: an ensemble, clients of it, and a storm of deaths over it."""

import contextlib
import os
import random
import threading
import time

import pytest
from kazoo.client import KazooClient
from kazoo.retry import KazooRetry

from ensemble import Ensemble


@pytest.fixture(scope="module")
def ensemble():
    with Ensemble(3) as ensemble:
        yield ensemble


@pytest.fixture
def connect(ensemble):
    """Opens clients that outlast the loss of connections, and closes them after the test."""
    clients = []

    def connect(hosts=None):
        forever = dict(max_tries=-1, delay=0.05, backoff=1.2, max_delay=0.5)
        client = KazooClient(
            hosts or ensemble.hosts,
            timeout=30.0,
            connection_retry=KazooRetry(**forever),
            command_retry=KazooRetry(**forever),
        )
        client.start(timeout=60)
        clients.append(client)
        return client

    yield connect
    for client in clients:
        client.stop()
        client.close()


@pytest.fixture
def storm(ensemble):
    """A context in which servers are killed with SIGKILL and started again, one after the other, all the while."""
    seed = int(os.environ.get("VIVARIUM_STORM_SEED", time.time_ns() % 1_000_000))
    dice = random.Random(seed)

    @contextlib.contextmanager
    def storm():
        print(f"VIVARIUM_STORM_SEED={seed}")
        over = threading.Event()
        blows = []

        def blow():
            while not over.is_set():
                server = ensemble.leader() if dice.random() < 0.5 else dice.choice(ensemble.servers)
                server.kill()
                blows.append(server.number)
                over.wait(dice.uniform(0.0, 0.4))
                server.run()
                ensemble.wait_until_serving()
                over.wait(dice.uniform(0.1, 0.5))

        thread = threading.Thread(target=blow, daemon=True)
        thread.start()
        try:
            yield blows
        finally:
            over.set()
            thread.join()
            ensemble.wait_until_serving()

    return storm


def together(*works):
    """Runs functions in threads of their own and gives their results; the first failure is raised."""
    results = [None] * len(works)

    def run(place, work):
        try:
            results[place] = (True, work())
        except BaseException as error:  # handed to the caller
            results[place] = (False, error)

    threads = [threading.Thread(target=run, args=pair, daemon=True) for pair in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for fine, outcome in results:
        if not fine:
            raise outcome
    return [outcome for _, outcome in results]


@pytest.fixture(name="together")
def together_fixture():
    return together
