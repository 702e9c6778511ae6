"""A pytest plugin that points kazoo's own tests at Vivarium.

kazoo's tests ship inside its package. They start a ZooKeeper through `kazoo.testing.common`, which wants a Java
installation and makes certificates; this puts an ensemble of real `vivarium` processes in its place:

    pytest -p vivarium_cluster --pyargs kazoo.tests.test_lock

What those tests ask of a server that this one does not offer is skipped by name below, each with its reason.
"""

import os
import sys
import types

import pytest

import ensemble

# The part of the protocol that kazoo's tests may expect.
os.environ.setdefault("ZOOKEEPER_VERSION", "3.9.0")

# Why a test of kazoo's is not run, by what its node id contains.
SKIPPED = {
    "TestReadOnlyMode": "no read-only mode",
    "TestSSLClient": "no TLS on the client port",
    "TestReconfig": "membership is fixed",
    "test_read_only": "no read-only mode",
}


class Cluster:
    """What kazoo's harness asks of a cluster, over an ensemble of ours."""

    def __init__(self, size=3, **_ignored):
        self._size = size
        # The superuser's password is "test", as in the tests.
        digest = "DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU=\n"
        self._more = digest
        self._ensemble = ensemble.Ensemble(size, tick=200, more=digest)

    def __getitem__(self, index):
        return self._ensemble.servers[index]

    def __iter__(self):
        return iter(self._ensemble.servers)

    def start(self):
        self._ensemble.start()

    def stop(self):
        for server in self:
            server.stop()

    def terminate(self):
        """Ends everything and forgets the data; it may be started again."""
        self._ensemble.destroy()
        self._ensemble = ensemble.Ensemble(self._size, tick=200, more=self._more)

    def reset(self):
        self.terminate()

    def get_logs(self):
        return [line for server in self for line in server.last_lines()]


def _install():
    module = types.ModuleType("kazoo.testing.common")
    module.ZookeeperCluster = Cluster
    sys.modules["kazoo.testing.common"] = module


_install()


def pytest_collection_modifyitems(items):
    for item in items:
        for part, reason in SKIPPED.items():
            if part in item.nodeid:
                item.add_marker(pytest.mark.skip(reason=reason))
