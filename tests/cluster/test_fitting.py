"""`tr.cluster.fit` on real processes, some of which are killed."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import tripletrec as tr
from cluster.fits import (
    CASES,
    DATA,
    assert_same,
    fit_locally,
    fit_serially,
    interrupt_in_second_epoch,
    model_of,
)
from tripletrec import sampling
from tripletrec.cluster.fitting import _check_of_events
from tripletrec.cluster.folders import Folder
from tripletrec.cluster.store import last_epoch

TESTS = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed", reason="needs Dask: the extra cluster")
    # Workers do not see the tests, but are asked by functions of this file.
    import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", processes=True
    ) as running:
        yield running


@pytest.fixture(scope="module")
def client(cluster):
    with cluster.get_client() as connected:
        yield connected


@pytest.fixture(scope="module")
def long():
    """A fit of many short epochs, so that there is time to kill somebody."""
    return model_of(n_epochs=15, optimizer="adam").fit(DATA)


def until(is_true, seconds=60.0):
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def test_workers_of_this_process_learn_the_bits_of_a_fit(tmp_path, commits):
    """All else here starts processes."""
    distributed = pytest.importorskip("distributed", reason="needs Dask: the extra cluster")
    expected, found = model_of().fit(DATA), model_of()
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0",
            protocol="inproc://",
        ) as running,
        running.get_client() as client,
    ):  # fmt: skip
        options = {"client": client, "checkpoint": tmp_path, "every": 2}
        assert tr.cluster.fit(found, DATA, **options) is found
    assert_same(found, expected)
    assert commits == [2, 3]


@pytest.mark.thorough
@pytest.mark.parametrize(
    "case", ["bpr, adam, weights, given", "dynamic, adagrad, weights, given", "bpr, sgd"]
)
def test_two_workers_learn_the_bits_of_a_fit(case, client, tmp_path):
    params, given = CASES[case]
    expected = fit_locally(model_of(**params), **given)
    found = model_of(**params)
    answer = tr.cluster.fit(found, DATA, client=client, checkpoint=tmp_path / "fit", **given)
    assert answer is found
    assert found.seen_ is DATA
    assert_same(found, expected)
    assert os.listdir(tmp_path / "fit") == []
    ids, scores = found.recommend(3, k=5)
    again, same = expected.recommend(3, k=5)
    assert ids.tolist() == again.tolist() and scores.tobytes() == same.tobytes()


@pytest.mark.thorough
def test_one_worker_and_four_learn_the_bits_of_a_fit(tmp_path):
    distributed = pytest.importorskip("distributed", reason="needs Dask: the extra cluster")
    params, given = CASES["hinge, adam, weights"]
    expected = fit_locally(model_of(**params), **given)
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address=":0", processes=True
        ) as running,
        running.get_client() as client,
    ):
        for n in (1, 4):
            running.scale(n)
            client.wait_for_workers(n, timeout=60)
            found = model_of(**params)
            tr.cluster.fit(found, DATA, client=client, checkpoint=tmp_path, **given)
            assert_same(found, expected)


@pytest.mark.thorough
def test_a_worker_is_killed_in_mid_epoch(client, long, tmp_path):
    until(lambda: len(client.nthreads()) == 2)
    victims = list(client.run(os.getpid).values())

    def kill():
        until(lambda: last_epoch(Folder(tmp_path)).number >= 3)
        time.sleep(0.01)
        os.kill(victims[0], signal.SIGKILL)
        killed_at.append(last_epoch(Folder(tmp_path)).number)

    killed_at = []
    thread = threading.Thread(target=kill)
    thread.start()
    model = model_of(n_epochs=15, optimizer="adam")
    tr.cluster.fit(model, DATA, client=client, checkpoint=tmp_path)
    thread.join()
    assert 3 <= killed_at[0] < 15
    assert_same(model, long)


CLIENT = """
    import sys
    from distributed import Client
    import tripletrec as tr
    from cluster.fits import DATA, model_of
    with Client(sys.argv[1]) as client:
        model = model_of(n_epochs=15, optimizer="adam")
        tr.cluster.fit(model, DATA, client=client, checkpoint=sys.argv[2])
"""


@pytest.mark.thorough
def test_the_client_is_killed_and_another_goes_on(client, long, tmp_path):
    address = client.scheduler_info()["address"]
    environment = {
        **os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]),
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CLIENT), address, str(tmp_path)], env=environment
    )
    until(lambda: last_epoch(Folder(tmp_path)).number >= 3 or process.poll() is not None)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    kept = last_epoch(Folder(tmp_path))
    assert 3 <= kept.number < 15
    model = model_of(n_epochs=15, optimizer="adam")
    tr.cluster.fit(model, DATA, client=client, checkpoint=tmp_path)
    assert model.history_[: kept.number] == kept.history  # the times, too
    assert_same(model, long)
    # What the client had on the workers has ended with it.
    until(lambda: client.run(n_fits) == dict.fromkeys(client.nthreads(), 0))


def n_fits():
    from tripletrec.cluster import dask_engine

    return len(vars(dask_engine)["_MEMORY"])


def carried(dask_worker):
    """Bytes that a worker got from others."""
    return sum(each["total"] for each in dask_worker.transfer_incoming_log)


@pytest.mark.thorough
def test_bytes_on_the_wire_do_not_grow_with_the_interactions(client, tmp_path):
    until(lambda: len(client.nthreads()) == 2)
    found = []
    for share in (1.0, 0.5):
        data = DATA[: int(share * DATA.nnz)]
        before = sum(client.run(carried).values())
        model = model_of(n_epochs=4, sampler="unseen")
        tr.cluster.fit(model, data, client=client, checkpoint=tmp_path)
        found.append(sum(client.run(carried).values()) - before)
    assert 0 < found[0] <= 1.1 * found[1]
    _, engine = fit_serially(model_of(n_epochs=4, sampler="unseen"), tmp_path)
    expected = sum(n for name, n in engine.carried.items() if name not in ("gathered", "sent"))
    assert found[0] <= 1.1 * expected


@pytest.mark.thorough
def test_factors_that_stay_in_the_folder(client, tmp_path):
    params, _ = CASES["bpr, sgd"]
    expected = fit_locally(model_of(**params))
    for _ in range(2):  # the second finds what the first has left, and learns nothing
        model = model_of(**params)
        tr.cluster.fit(model, DATA, client=client, checkpoint=tmp_path, collect=False)
        assert_same(model, expected)
    assert repr(model.user_factors_).startswith("ShardedFactors(40 users x 6 factors, in ")
    for exclude in ("seen", None):
        for users in (None, [3, 5]):
            found, wanted = (x.recommend(users, k=4, exclude=exclude) for x in (model, expected))
            np.testing.assert_array_equal(found[0], wanted[0])
            np.testing.assert_array_equal(found[1], wanted[1])
    assert model.score(DATA) == expected.score(DATA)
    assert model.predict(3, 7) == expected.predict(3, 7)


@pytest.mark.thorough
def test_what_is_refused(client, tmp_path):
    fits = {"client": client, "checkpoint": tmp_path / "fit"}

    def refused(error, text, model=None, source=DATA, **others):
        model = model or model_of()
        with pytest.raises(error, match=text) as caught:
            tr.cluster.fit(model, source, **{**fits, **others})
        assert str(caught.value).count("\n") == 0
        assert not hasattr(model, "history_")

    refused(TypeError, "^model must be a MatrixFactorization", tr.TwoTower())
    refused(TypeError, "^model must be a MatrixFactorization", tr.MatrixFactorization)
    refused(ValueError, "list-wise losses are trained on one machine", model_of(loss="softmax"))
    refused(ValueError, "^early_stopping must be None", model_of(early_stopping=3))
    refused(TypeError, "validation", validation=DATA)
    refused(TypeError, "callbacks", callbacks=[])
    refused(TypeError, "^client must be a distributed.Client, got 'here'$", client="here")
    refused(TypeError, "^client must be a distributed.Client, got None$", client=None)
    refused(ValueError, "^every must be", every=0)
    refused(TypeError, "^collect must be", collect="no")
    refused(TypeError, "^checkpoint must be a path or a URL, got 3$", checkpoint=3)
    refused(ValueError, "kind that fsspec does not know", checkpoint="nowhere://x")
    refused(
        ValueError, "^sampler 'explicit' takes negatives", model_of(sampler=sampling.explicit())
    )
    refused(ValueError, "^n_epochs must be", model_of(n_epochs=0))
    (tmp_path / "a file").write_text("")
    refused(
        ValueError,
        "^checkpoint must be a folder that can be written",
        checkpoint=tmp_path / "a file",
    )
    refused(ValueError, "which has 'a file'$", checkpoint=tmp_path)
    assert not os.path.exists(tmp_path / "fit") or os.listdir(tmp_path / "fit") == []


@pytest.mark.thorough
def test_a_checkpoint_of_another_fit_is_refused(client, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit_serially(model_of(), tmp_path, before=interrupt_in_second_epoch)
    for model, data, text in (
        (model_of(user_l2=0.7), DATA, "user_l2 is None there and 0.7 here"),
        (model_of(), DATA[:-1], "the argument source differs"),
    ):
        with pytest.raises(ValueError, match=f"is of another fit: {text}; delete the folder"):
            tr.cluster.fit(model, data, client=client, checkpoint=tmp_path)
    assert last_epoch(Folder(tmp_path)).number == 1


@pytest.mark.slow_cluster
def test_one_worker_after_the_other_is_killed(tmp_path, rng):
    distributed = pytest.importorskip("distributed", reason="needs Dask: the extra cluster")
    data = tr.datasets.make_interactions(4000, 2000, 200_000, random_state=0)
    params = {"n_factors": 6, "n_epochs": 40, "optimizer": "adam", "n_negatives": 2}
    expected = tr.MatrixFactorization(**params).fit(data)
    done, killed = threading.Event(), []

    def kill(client):
        # Four: a LocalCluster gives up workers that die again and again.
        while len(killed) < 4 and not done.wait(rng.uniform(3, 9)):
            victims = list(client.run(os.getpid, on_error="ignore").values())
            if victims:
                os.kill(victims[rng.integers(len(victims))], signal.SIGKILL)
                killed.append(last_epoch(Folder(tmp_path)).number)

    with (
        distributed.LocalCluster(
            n_workers=3, threads_per_worker=1, dashboard_address=":0", processes=True
        ) as running,
        distributed.Client(running) as client,
        distributed.Client(running, set_as_default=False) as other,
    ):
        killer = threading.Thread(target=kill, args=(other,))
        killer.start()
        try:
            model = tr.MatrixFactorization(**params)
            tr.cluster.fit(model, data, client=client, checkpoint=tmp_path)
        finally:
            done.set()
            killer.join()
    print(f"killed after epochs {killed}")
    assert_same(model, expected)


def test_weights_and_negatives_of_events():
    assert _check_of_events(None, None, "stars") is False
    assert _check_of_events("values", None, "stars") is True
    for weight, value in (("values", None), ("users", "stars"), (np.ones(3), "stars"), (2.0, None)):
        with pytest.raises(
            ValueError, match="sample_weight must be None for events or, with a column"
        ):
            _check_of_events(weight, None, value)
    with pytest.raises(ValueError, match="negatives must be None for events: give source as Inter"):
        _check_of_events(None, DATA, None)
