"""All replicas over several seeds, and the report on them."""

import json

import numpy as np
import pytest

from tripletrec.reference import SYSTEMS, format_report, report, reproduce
from tripletrec.reference.replica import Run

TRAINABLE = [key for key, system in SYSTEMS.items() if system.recipe is not None]


@pytest.fixture(scope="module")
def result(tiny_movielens):
    return reproduce(tiny_movielens, 2, n_jobs=2)


def test_result_is_json_and_complete(result):
    result = json.loads(json.dumps(result))
    assert list(result["systems"]) == list(SYSTEMS)
    for key, system in result["systems"].items():
        assert ("auc" in system) == (key in TRAINABLE)
        if key in TRAINABLE:
            aucs = np.array(system["auc_by_seed"])
            assert aucs.shape == (2, SYSTEMS[key].n_epochs)
            np.testing.assert_allclose(system["auc"], aucs.mean(axis=0))
            np.testing.assert_allclose(system["auc_spread"], np.abs(aucs[0] - aucs[1]) / 2)


def test_threads_change_no_number(result, tiny_movielens):
    alone = reproduce(tiny_movielens, 2, systems=["K4", "K1"], n_jobs=1)
    assert list(alone["systems"]) == ["K1", "K4"]
    for key, system in alone["systems"].items():
        assert system["auc_by_seed"] == result["systems"][key]["auc_by_seed"]


def test_every_epoch_is_told(tiny_movielens):
    told = []
    reproduce(tiny_movielens, 2, systems=["K2"], on_epoch=lambda *told_: told.append(told_[:2]))
    assert sorted(told) == [("K2", 0)] * 5 + [("K2", 1)] * 5


def test_an_error_ends_all_trainings(tiny_movielens):
    def interrupt(system, seed, run):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reproduce(tiny_movielens, 3, on_epoch=interrupt, n_jobs=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 0}, "seeds must be an integer >= 1, got 0"),
        ({"systems": ["K1", "K9"]}, "systems must be among K1, .*K6, got 'K9'"),
        ({"n_jobs": 0}, "n_jobs"),
    ],
)
def test_reproduce_refuses(options, message, tiny_movielens):
    with pytest.raises(ValueError, match=message):
        reproduce(tiny_movielens, **options)


def test_report(result):
    text = format_report(result)
    assert max(map(len, text.splitlines())) <= 100
    for key, system in SYSTEMS.items():
        assert f"\n{key}: {system.title} ({system.protocol})\n" in text
    block = text.split("\n\nK2:")[0]
    assert "published       .9059  .9082" in block
    assert "had evidently been run twice" in " ".join(block.split())
    assert "(published  .7926 ... .2818)" in text
    assert "K6: two towers" in text
    assert any(line.split() == "K6 no number published".split() for line in text.splitlines())


@pytest.mark.parametrize(
    ("shift", "verdict"),
    [(0.001, "reproduced"), (-0.001, "reproduced"), (0.01, "beats"), (-0.01, "below")],
)
def test_verdicts(shift, verdict):
    system = SYSTEMS["K1"]
    run = Run(loss=[0.5] * 20, seconds=[0.1] * 20)
    run.auc = [system.published.get(epoch, 0.8) + shift for epoch in range(1, 21)]
    summary = report._summary(system, [run])
    assert summary["verdict"] == verdict
    assert summary["difference"] == pytest.approx(shift)


def test_further_sections_are_printed(tiny_movielens):
    def section(data, seeds):
        return {"title": "Native kernel", "text": f"    {data.train.nnz} positives, {seeds} seed"}

    result = reproduce(tiny_movielens, 1, systems=["K2"], extra=[section])
    text = f"\n\nNative kernel\n    {tiny_movielens.train.nnz} positives, 1 seed\n\nSummary\n"
    assert text in format_report(result)
