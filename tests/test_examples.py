"""The examples run, on less than they are made for."""

import asyncio
import importlib.util
import json
import sys

import numpy as np
import pandas as pd
import pytest

import tripletrec as tr
from contracts.support import run_python

SMALL = ["--users", "300", "--items", "120", "--events", "5000", "--epochs", "2"]


def run(name, *options):
    code = f"import runpy, sys; sys.argv[0] = 'x'; runpy.run_path('examples/{name}.py', run_name='__main__')"
    return run_python(code, *SMALL, *options)


@pytest.mark.thorough
def test_journey():
    assert "== New items" in run("journey")


@pytest.mark.thorough
def test_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    output = tmp_path / "pictures.png"
    assert "softmax" in run("pictures", "--output", output)
    assert output.read_bytes().startswith(b"\x89PNG")


def imported(name):
    spec = importlib.util.spec_from_file_location(name, f"examples/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def days():
    """Events of a shop: those of the days before, and those of today, one of them of a new user."""
    events = tr.datasets.make_events(40, 30, 800, n_days=4, random_state=0).events
    is_today = events["time"] >= events["time"].dt.floor("D").max()
    today = events[is_today]
    new = today.tail(1).assign(user_id="new", time=today["time"].min())
    return events[~is_today], pd.concat([today, new], ignore_index=True)


def fitted(events, seed=0):
    data = tr.Interactions.from_frame(events, user="user_id", item="item_id", timestamp="time")
    return tr.MatrixFactorization(n_factors=6, n_epochs=2, random_state=seed).fit(data)


@pytest.fixture
def night(days, tmp_path, monkeypatch):
    """A function that runs the night on files, with the share of yesterday's number that is asked for."""
    before, today = days
    fitted(before).save(tmp_path / "model.safetensors", state=True)
    today.to_csv(tmp_path / "today.csv", index=False)

    def run(least):
        module = imported("nightly")
        module.LEAST = least
        arguments = [tmp_path / "model.safetensors", tmp_path / "today.csv", tmp_path / "lists.csv"]
        monkeypatch.setattr(sys, "argv", ["nightly.py", *map(str, arguments), "--k", "3"])
        return module.main()

    return run


SOME_ARE_SEEN = pytest.mark.filterwarnings("ignore:.* positives in test are in .*:UserWarning")


@SOME_ARE_SEEN
def test_a_night_renews_the_model_and_the_lists(night, tmp_path):
    before = tr.load(tmp_path / "model.safetensors")
    assert night(least=0.0) == 0
    after = tr.load(tmp_path / "model.safetensors")
    assert "new" in after.user_ids_ and "new" not in before.user_ids_
    lists = pd.read_csv(tmp_path / "lists.csv")
    table = after.recommend(k=3, output="pandas")
    assert lists["user"].to_list() == table["user"].to_list()
    assert lists["item"].to_list() == table["item"].to_list()


@SOME_ARE_SEEN
def test_a_night_that_makes_it_worse_changes_no_file(night, tmp_path):
    before = (tmp_path / "model.safetensors").read_bytes()
    assert night(least=1e9) == 1
    assert (tmp_path / "model.safetensors").read_bytes() == before
    assert not (tmp_path / "lists.csv").exists()


@SOME_ARE_SEEN
def test_two_models_of_a_night_are_measured_by_the_same_pairs(days):
    """One that has learnt nothing, by new users and items alone, gets the same number as before."""
    before, today = days
    evening = today.tail(len(today) // 2)
    one, other = fitted(before), fitted(before)
    other.add_users(
        tr.Interactions.from_frame(
            {"user": ["a", "b"], "item": one.item_ids_[:2]},
            user="user",
            item="item",
        )
    )
    first, second = imported("nightly").measure(one, other, today.head(0), evening)
    assert first == second > 0.0


def answers(app, *requests):
    """What an application answers between its start and its end: status and content."""
    httpx = pytest.importorskip("httpx", reason="a client of the service is httpx")

    async def ask():
        transport = httpx.ASGITransport(app=app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://test") as client,
        ):
            found = [await client.request(*each[:2], json=each[2]) for each in requests]
            return [(each.status_code, each.json()) for each in found]

    return asyncio.run(ask())


def test_the_service(days, tmp_path, monkeypatch):
    pytest.importorskip("fastapi", reason="the service is made of FastAPI")
    model = fitted(days[0])
    model.save(tmp_path / "model.safetensors")
    monkeypatch.setenv("MODEL", str(tmp_path / "model.safetensors"))
    service, user, item = imported("service"), model.user_ids_[3], model.item_ids_[4]
    found = answers(
        service.create_app(),
        ("GET", f"/users/{user}?k=3", None),
        ("GET", f"/items/{item}/similar", None),
        ("POST", "/history?k=2", {"items": [item, "not there"]}),
        ("POST", "/history", {"items": []}),
        ("GET", "/health", None),
        ("GET", "/users/nobody", None),
        ("GET", "/items/nothing/similar", None),
        ("GET", f"/users/{user}?k=0", None),
    )
    lists = (
        model.recommend(user, k=3),
        model.similar_items(item),
        model.recommend_history([item], k=2),
        model.recommend_history([]),
    )
    assert found[:4] == [(200, service.listed(*each)) for each in lists]
    assert found[4] == (200, {"users": model.n_users_, "items": model.n_items_})
    assert found[5:7] == [(404, {"detail": f"unknown {word}"}) for word in ("user", "item")]
    assert found[7][0] == 422


def test_a_list_is_plain():
    found = imported("service").listed(np.array(["a", "b"]), np.array([0.5, -1], np.float32))
    assert found == [{"item": "a", "score": 0.5}, {"item": "b", "score": -1.0}]
    assert json.loads(json.dumps(found)) == found


def test_a_service_takes_over_a_new_file(days, tmp_path):
    path = tmp_path / "model.safetensors"
    first, second = fitted(days[0]), fitted(days[0], seed=1)
    first.save(path)
    server = imported("service").Server(path)
    loaded, user = server.model, first.user_ids_[0]
    server.look()
    assert server.model is loaded
    second.save(path)
    server.look()
    assert server.model.recommend(user)[1].tolist() == second.recommend(user)[1].tolist()
    assert loaded.recommend(user)[1].tolist() == first.recommend(user)[1].tolist()
    taken = server.model
    (tmp_path / "broken").write_bytes(b"no model")
    (tmp_path / "broken").replace(path)
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        server.look()
    assert server.model is taken


def test_a_service_goes_on_looking_whatever_a_file_raises(days, tmp_path):
    module, looks = imported("service"), []
    module.EVERY = 0.0
    fitted(days[0]).save(tmp_path / "model.safetensors")
    server = module.Server(tmp_path / "model.safetensors")

    def look():
        looks.append(server.model)
        if len(looks) == 2:
            server.stop()
        raise MemoryError

    server.look = look
    server.watch()
    assert looks == [server.model] * 2


@pytest.mark.parametrize(
    ("text", "ids", "wanted"),
    [
        ("7", None, 7),
        ("7", [7, 8], 7),
        ("7", ["7"], "7"),
        ("x", None, "x"),
        ("-1", [7], "-1"),
        ("٣", None, "٣"),
    ],
)
def test_ids_of_urls(text, ids, wanted):
    found = imported("service").id_of(text, None if ids is None else np.array(ids))
    assert found == wanted and type(found) is type(wanted)
