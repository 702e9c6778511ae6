"""kazoo's recipes keep their promises while servers die.

All but one work against an ensemble of three while a storm kills its servers with SIGKILL, the leader more often than
the others, and starts them again. No session may be lost in it.
"""

import json
import os
import signal
import subprocess
import sys
import threading

from kazoo.exceptions import BadVersionError, ConnectionLoss, NoNodeError
from kazoo.recipe.barrier import Barrier, DoubleBarrier
from kazoo.recipe.election import Election
from kazoo.recipe.lock import Lock
from kazoo.recipe.party import Party
from kazoo.recipe.queue import LockingQueue, Queue

from ensemble import PATIENCE, eventually

BLOWS_MIN = 4


def test_lock(connect, storm, together):
    """A counter that is read and written back under a lock loses no increment."""
    setup = connect()
    setup.create("/lock-counter", b"0")

    def increment(client):
        value, stat = client.retry(client.get, "/lock-counter")
        raised = str(int(value) + 1).encode()
        try:
            client.set("/lock-counter", raised, stat.version)
        except ConnectionLoss:
            # It may have been done. The holder is alone: only its own first try can have raised the version.
            try:
                client.retry(client.set, "/lock-counter", raised, stat.version)
            except BadVersionError:
                pass
            now, seen = client.retry(client.get, "/lock-counter")
            assert (now, seen.version) == (raised, stat.version + 1)

    def work(client, blows):
        lock = Lock(client, "/lock")
        done = 0
        while done < 20 or len(blows) < BLOWS_MIN:
            with lock:
                increment(client)
            done += 1
        return done

    with storm() as blows:
        clients = [connect() for _ in range(3)]
        done = together(*[lambda client=client: work(client, blows) for client in clients])
    setup.retry(setup.sync, "/")
    assert int(setup.get("/lock-counter")[0]) == sum(done)


def test_election(connect, storm, together):
    """There is one leader at a time, and everyone's turn comes."""
    leading = []
    turns = []

    def lead(name):
        leading.append(name)
        assert leading == [name], "two lead at once"
        turns.append(name)
        leading.remove(name)

    def work(client, name, blows):
        done = 0
        while done < 10 or len(blows) < BLOWS_MIN:
            Election(client, "/election", name).run(lead, name)
            done += 1
        return done

    with storm() as blows:
        clients = [(connect(), name) for name in ("ann", "bob", "cid")]
        done = together(*[lambda c=client, n=name: work(c, n, blows) for client, name in clients])
    assert len(turns) == sum(done)
    assert set(turns) == {"ann", "bob", "cid"}


def put_many(queue, name, blows, put, perhaps):
    """Puts values that never repeat, for as long as the storm is young; tells those that are surely in."""
    number = 0
    while number < 100 or len(blows) < BLOWS_MIN:
        number += 1
        value = f"{name}-{number}".encode()
        try:
            queue.put(value)
            put.add(value)
        except ConnectionLoss:
            perhaps.add(value)


def test_queue(connect, storm, together):
    """What was put and acknowledged comes out, once, and only what was put comes out."""
    put, perhaps = set(), set()
    with storm() as blows:
        queues = [Queue(connect(), "/queue") for _ in range(2)]
        together(*[lambda q=q, n=n: put_many(q, n, blows, put, perhaps) for q, n in zip(queues, "ab")])
    # The storm is over: a get whose answer is lost would lose a value, and that is the recipe's affair.
    queues[0].client.retry(queues[0].client.sync, "/")
    out = []
    while (value := queues[0].get()) is not None:
        out.append(value)
    assert len(out) == len(set(out))
    assert put <= set(out) <= put | perhaps


def test_locking_queue(connect, storm, together):
    """What was put and acknowledged is consumed, by whoever, or is still there, also when the consumers' servers die."""
    put, perhaps, taken = set(), set(), set()
    over = threading.Event()

    def consume(queue):
        while True:
            value = queue.client.retry(queue.get, timeout=1)
            if value is None:
                if over.is_set():
                    return
                continue
            try:
                queue.client.retry(queue.consume)
            except NoNodeError:
                # The first try was done, and its answer lost. The recipe does not know, and would offer it again.
                queue = LockingQueue(queue.client, "/locking-queue")
            taken.add(value)

    with storm() as blows:
        queues = [LockingQueue(connect(), "/locking-queue") for _ in range(4)]

        def produce():
            together(*[lambda q=q, n=n: put_many(q, n, blows, put, perhaps) for q, n in zip(queues, "ab")])
            over.set()

        together(produce, lambda: consume(queues[2]), lambda: consume(queues[3]))
    # The recipe leaves an entry behind whose lock it took without hearing so.
    client = connect()
    client.retry(client.sync, "/")
    entries = "/locking-queue/entries"
    left = {client.get(f"{entries}/{name}")[0] for name in client.get_children(entries)}
    assert taken, "the consumers got something"
    assert put <= taken | left <= put | perhaps


def test_barriers(connect, together):
    """Without a storm: when a connection breaks, kazoo forgets its watches, and these two recipes wait for ever."""
    clients = [connect() for _ in range(3)]
    for number in range(5):
        path = f"/barrier-{number}"
        barrier = Barrier(clients[0], path)
        barrier.create()
        lifted = threading.Event()

        def wait(client, path=path, lifted=lifted):
            client.sync(path)
            assert Barrier(client, path).wait(PATIENCE)
            assert lifted.is_set(), "nobody passes a barrier that is there"

        def lift(barrier=barrier, lifted=lifted):
            lifted.set()
            barrier.remove()

        together(lambda: wait(clients[1]), lambda: wait(clients[2]), lift)

        inside = set()

        def enter(client, path=path, inside=inside):
            double = DoubleBarrier(client, path + "-double", 3)
            double.enter()
            inside.add(client)
            eventually("all three are inside", lambda: len(inside) == 3)
            double.leave()

        together(*[lambda client=client: enter(client) for client in clients])


def test_counter(connect, storm, together):
    """An increment whose answer is lost may be made twice; none is lost."""

    def work(client, blows):
        counter = client.Counter("/counter")
        done = 0
        while done < 50 or len(blows) < BLOWS_MIN:
            counter += 1
            done += 1
        return done

    with storm() as blows:
        clients = [connect() for _ in range(3)]
        done = together(*[lambda client=client: work(client, blows) for client in clients])
    clients[0].retry(clients[0].sync, "/")
    value = clients[0].Counter("/counter").value
    assert sum(done) <= value <= sum(done) + 3 * len(blows)


def test_party(connect, storm):
    with storm() as blows:
        clients = [connect() for _ in range(3)]
        parties = [Party(client, "/party", f"guest-{n}") for n, client in enumerate(clients)]
        for party in parties:
            party.join()
        everyone = {"guest-0", "guest-1", "guest-2"}
        for party in parties:
            eventually("all guests are seen", lambda party=party: set(party) == everyone)
        eventually("the storm rages", lambda: len(blows) >= BLOWS_MIN)
        for party in parties:
            eventually("all guests are still there", lambda party=party: set(party) == everyone)
        parties[0].leave()
        eventually("one has left", lambda: set(parties[1]) == everyone - {"guest-0"})
        clients[2].stop()
        eventually("one has gone with its session", lambda: set(parties[1]) == {"guest-1"})


def test_watches(connect, storm):
    """A watcher never sees a version go back, and sees the last one."""
    connect().create("/watched", b"0")
    with storm() as blows:
        writer = connect()
        versions, children = [], []
        watcher = connect()

        @watcher.DataWatch("/watched")
        def on_data(_data, stat):
            versions.append(stat.version if stat else -1)

        watcher.retry(watcher.ensure_path, "/watched-children")

        @watcher.ChildrenWatch("/watched-children")
        def on_children(names):
            children.append(set(names))

        number = 0
        while number < 200 or len(blows) < BLOWS_MIN:
            number += 1
            writer.retry(writer.set, "/watched", str(number).encode())
            if number % 20 == 0:
                writer.retry(writer.ensure_path, f"/watched-children/{number}")
        writer.retry(writer.sync, "/")
        last = writer.retry(writer.get, "/watched")[1].version
        names = set(writer.retry(writer.get_children, "/watched-children"))
        eventually("the last version is seen", lambda: versions and versions[-1] == last)
        eventually("all children are seen", lambda: children and children[-1] == names)
    assert versions == sorted(versions)


def test_transactions(connect, storm, together):
    """Money moves between two accounts, with a receipt in the same transaction: all of it or nothing."""
    setup = connect()
    setup.create("/bank")
    setup.create("/bank/a", b"1000")
    setup.create("/bank/b", b"1000")
    setup.create("/bank/receipts")

    def work(client, name, blows):
        acknowledged = []
        number = 0
        while number < 50 or len(blows) < BLOWS_MIN:
            number += 1
            a, a_stat = client.retry(client.get, "/bank/a")
            b, b_stat = client.retry(client.get, "/bank/b")
            receipt = f"/bank/receipts/{name}-{number}"
            transaction = client.transaction()
            transaction.create(receipt, json.dumps(number % 7).encode())
            transaction.set_data("/bank/a", str(int(a) - number % 7).encode(), a_stat.version)
            transaction.set_data("/bank/b", str(int(b) + number % 7).encode(), b_stat.version)
            try:
                results = transaction.commit()
            except ConnectionLoss:
                continue
            if any(isinstance(result, Exception) for result in results):
                assert all(isinstance(result, Exception) for result in results)
            else:
                acknowledged.append(receipt)
        return acknowledged

    with storm() as blows:
        clients = [(connect(), name) for name in ("ann", "bob")]
        lists = together(*[lambda c=client, n=name: work(c, n, blows) for client, name in clients])
    setup.retry(setup.sync, "/")
    receipts = {f"/bank/receipts/{name}" for name in setup.get_children("/bank/receipts")}
    acknowledged = set(lists[0] + lists[1])
    assert acknowledged and acknowledged <= receipts
    moved = sum(json.loads(setup.get(receipt)[0]) for receipt in receipts)
    assert int(setup.get("/bank/a")[0]) == 1000 - moved
    assert int(setup.get("/bank/b")[0]) == 1000 + moved


def test_ephemeral_nodes_outlive_servers_and_not_their_client(ensemble, connect, storm):
    """The client is a process of its own, so that it can be killed as well."""
    script = (
        "import sys, time\n"
        "from kazoo.client import KazooClient\n"
        "client = KazooClient(sys.argv[1], timeout=5.0)\n"
        "client.start(timeout=60)\n"
        "client.create('/mortal', ephemeral=True)\n"
        "print('ready', flush=True)\n"
        "while True: time.sleep(60)\n"
    )
    other = connect()
    command = [sys.executable, "-c", script, ensemble.hosts]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ.copy()) as client:
        try:
            assert client.stdout.readline().strip() == b"ready"
            with storm() as blows:
                while len(blows) < BLOWS_MIN:
                    assert other.retry(other.exists, "/mortal") is not None
            other.retry(other.sync, "/")
            gone = threading.Event()
            assert other.exists("/mortal", watch=lambda event: gone.set()) is not None
            client.send_signal(signal.SIGKILL)
            assert gone.wait(PATIENCE), "the session expires"
            assert other.exists("/mortal") is None
        finally:
            client.kill()
