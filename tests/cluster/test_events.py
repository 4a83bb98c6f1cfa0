"""Events in files or in a Dask DataFrame, learnt, ranked and listed by processes of their own."""

import numpy as np
import pandas as pd
import pytest

import tripletrec as tr

distributed = pytest.importorskip("distributed", reason="needs Dask: the extra cluster")
pytest.importorskip("pyarrow", reason="reads parquet")
pytestmark = pytest.mark.thorough  # the pieces are tested where they are: shuffle, answers, driver


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        cluster.get_client() as client,
    ):
        yield client


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"who": rng.integers(0, 60, 2500), "what": rng.integers(0, 130, 2500)})
    frame["n"] = rng.integers(1, 4, len(frame)).astype(float)
    frame["who"] = "u" + frame["who"].astype(str)
    return frame


def model_of(**parameters):
    return tr.MatrixFactorization(6, sampler="unseen", n_epochs=3, **parameters)


def assert_same_models(one, other):
    for name in ("user_factors_", "item_factors_", "item_biases_", "user_ids_", "item_ids_"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    for name in ("indptr", "indices", "values"):
        np.testing.assert_array_equal(getattr(one.seen_, name), getattr(other.seen_, name))


def test_files_in_any_order_are_learnt_as_in_memory(client, frame, tmp_path):
    data = tr.Interactions.from_frame(frame, user="who", item="what", value="n")
    expected = model_of().fit(data, sample_weight="values")
    for name, rows, sizes in (
        ("a", frame, (900, 1000)), ("b", frame.sample(frac=1, random_state=1), (10, 2000, 2400)),
    ):  # fmt: skip
        (tmp_path / name).mkdir()
        for number, part in enumerate(np.split(np.arange(len(rows)), sizes)):
            rows.iloc[part].to_parquet(tmp_path / name / f"{number}.parquet", row_group_size=300)
        found = tr.cluster.fit(
            model_of(), tmp_path / name, client=client, user="who", item="what", value="n",
            sample_weight="values", checkpoint=tmp_path / f"{name}-fit",
        )  # fmt: skip
        assert_same_models(found, expected)


def test_partitions_of_any_size_are_learnt_as_in_memory(client, frame, tmp_path):
    dask_frames = pytest.importorskip("dask.dataframe", reason="it is Dask's")
    expected = model_of().fit(tr.Interactions.from_frame(frame, user="who", item="what"))
    source = dask_frames.concat(
        [
            dask_frames.from_pandas(each, npartitions=n)
            for each, n in ((frame[:300], 1), (frame[300:], 3))
        ]
    )
    found = tr.cluster.fit(
        model_of(), source, client=client, user="who", item="what", checkpoint=tmp_path / "fit"
    )
    assert_same_models(found, expected)


def test_events_of_one_pair_are_merged_as_asked(client, frame, tmp_path):
    dask_frames = pytest.importorskip("dask.dataframe", reason="it is Dask's")
    names = {"user": "who", "item": "what", "value": "n", "duplicates": "max"}
    expected = model_of().fit(tr.Interactions.from_frame(frame, **names), sample_weight="values")
    found = tr.cluster.fit(
        model_of(), dask_frames.from_pandas(frame, npartitions=3), client=client, **names,
        sample_weight="values", checkpoint=tmp_path / "fit",
    )  # fmt: skip
    assert_same_models(found, expected)


def test_lists_and_metrics_are_those_of_one_machine(client, frame, tmp_path):
    train, test = tr.splits.train_test_split(
        tr.Interactions.from_frame(frame, user="who", item="what"), random_state=0
    )
    model = model_of().fit(train)
    found = tr.cluster.evaluate(model, test, client=client, k=(3, 5), batch_size=20)
    expected = tr.evaluate(model, test, k=(3, 5))
    pd.testing.assert_frame_equal(found.per_user, expected.per_user, check_exact=True)
    pd.testing.assert_series_equal(found.mean, expected.mean, check_exact=True)
    n_rows = tr.cluster.recommend(model, k=3, client=client, out=tmp_path / "lists", batch_size=25)
    assert n_rows == model.recommend_to(tmp_path / "one.parquet", k=3) == 180
    lists = [pd.read_parquet(each) for each in sorted((tmp_path / "lists").iterdir())]
    pd.testing.assert_frame_equal(
        pd.concat(lists, ignore_index=True), pd.read_parquet(tmp_path / "one.parquet")
    )


def test_what_events_cannot_have_is_refused(client, frame, tmp_path):
    frame.to_parquet(tmp_path / "events.parquet")
    arguments = {"client": client, "user": "who", "item": "what", "checkpoint": tmp_path / "fit"}
    for wrong, match in (
        (
            {"negatives": np.eye(3)},
            "^negatives must be None for events: give source as Interactions$",
        ),
        (
            {"sample_weight": np.ones(3)},
            "^sample_weight must be None for events or, with a column of values",
        ),
        (
            {"sample_weight": "values"},
            "^sample_weight must be None for events or, with a column of values",
        ),
        (
            {"duplicates": "last"},
            "^duplicates must be 'sum', 'max' or 'count' on a cluster, got 'last'",
        ),
        ({"user": "whom"}, "whom"),
    ):
        with pytest.raises(ValueError, match=match):
            tr.cluster.fit(model_of(), tmp_path / "events.parquet", **{**arguments, **wrong})
    assert not (tmp_path / "fit").exists() or not list((tmp_path / "fit").iterdir())
