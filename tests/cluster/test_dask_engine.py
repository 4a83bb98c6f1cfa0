"""What is asked of Dask, and what is said when it does not answer."""

import pytest

from tripletrec.cluster.dask_engine import DaskEngine, check_client

distributed = pytest.importorskip("distributed", reason="needs Dask: the extra cluster")


@pytest.fixture
def cluster():
    with distributed.LocalCluster(
        n_workers=0, processes=False, dashboard_address=":0", protocol="inproc://"
    ) as running:
        yield running


def test_no_workers_no_scheduler_no_client(cluster):
    client = cluster.get_client()
    engine = DaskEngine(client, patience=0.5)
    assert check_client(client) is client
    with pytest.raises(
        RuntimeError, match="^client must have workers, got none within 0.5 s: start"
    ):
        engine.workers()
    cluster.close()
    with pytest.raises(
        ConnectionError, match="^the scheduler of .* does not answer .*: connect a new client"
    ):
        engine.workers()
    client.close()
    with pytest.raises(
        ValueError, match="^client must be connected to a scheduler, got one that is closed"
    ):
        check_client(client)


def test_an_error_of_a_task_is_that_of_the_caller(cluster):
    with cluster.get_client() as client:
        cluster.scale(1)
        engine = DaskEngine(client, patience=20)
        (worker,) = engine.workers()
        engine.open([worker])
        assert engine.gather([engine.submit(worker, remember, "a", 3)]) == [None]
        assert engine.gather([engine.submit(worker, recall, "a")]) == [3]
        with pytest.raises(KeyError, match="b"):
            engine.gather([engine.submit(worker, recall, "b")])
        other = DaskEngine(client)
        other.open([worker])
        with pytest.raises(KeyError, match="a"):  # each fit has memory of its own
            other.gather([other.submit(worker, recall, "a")])


def remember(memory, name, value):
    memory[name] = value


def recall(memory, name):
    return memory[name]
