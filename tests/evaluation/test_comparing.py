"""`compare`: what its table holds is what `evaluate` and SciPy say of the differences."""

import dataclasses
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import tripletrec as tr
from tripletrec.evaluation import compare, evaluate


@pytest.fixture(scope="module")
def parts(small):
    return tr.splits.train_test_split(small, random_state=0)


@pytest.fixture(scope="module")
def models(parts):
    train, _ = parts
    return {
        "popular": tr.Popularity().fit(train),
        "mf": tr.MatrixFactorization(n_factors=4, n_epochs=5).fit(train),
        "ease": tr.EASE(l2=20.0).fit(train),
    }


@pytest.fixture(scope="module")
def found(models, parts):
    return compare(models, parts[1], k=(5, 10), random_state=3, n_resamples=400)


def test_the_table_is_what_evaluate_and_scipy_say(found, models, parts):
    results = {name: evaluate(each, parts[1], k=(5, 10)) for name, each in models.items()}
    table = found.table
    assert table.index.names == ["metric", "model"]
    assert table.index.tolist() == [(m, n) for m in results["mf"].mean.index for n in models]
    for metric in ("auc", "ndcg@10"):
        part = table.loc[metric]
        for name in models:
            assert part.loc[name, "mean"] == results[name].mean[metric]
            own = results[name].interval(0.95, n_resamples=400, random_state=3).loc[metric]
            assert part.loc[name, ["low", "high"]].tolist() == own[["low", "high"]].tolist()
            if name == "popular":
                assert part.loc[name, "difference":"effect_size"].isna().all()
                continue
            d = (results[name].per_user - results["popular"].per_user)[metric]
            assert part.loc[name, "difference"] == pytest.approx(d.mean(), rel=1e-9)
            assert part.loc[name, "effect_size"] == pytest.approx(d.mean() / d.std(), rel=1e-9)
            expected = stats.bootstrap(
                (d,), np.mean, n_resamples=400, method="BCa", random_state=np.random.default_rng(3)
            ).confidence_interval
            assert part.loc[name, "difference_low"] == pytest.approx(expected.low, rel=1e-9)
            assert part.loc[name, "difference_high"] == pytest.approx(expected.high, rel=1e-9)
            assert part.loc[name, "n_users"] == d.notna().sum()
            permuted = stats.permutation_test(
                (d,), lambda d, axis: np.mean(d, axis=axis), permutation_type="samples",
                n_resamples=9999, vectorized=True, random_state=1,
            ).pvalue  # fmt: skip
            assert part.loc[name, "p_value"] == pytest.approx(permuted, abs=0.03)


def test_p_values_are_corrected_within_each_metric(found):
    for _, part in found.table.groupby(level="metric"):
        p = part["p_value"].dropna().to_numpy()
        small, large = np.sort(p)
        expected = np.minimum([2 * small, max(2 * small, large)], 1)
        np.testing.assert_allclose(np.sort(part["p_corrected"].dropna()), expected)


def test_intervals_have_the_level_asked_for(found, parts):
    half = compare(found.results, parts[1], level=0.5, random_state=3, n_resamples=400)
    assert repr(half).startswith("Comparison of mf, ease with popular: 50 % intervals\n")
    own = found.results["mf"].interval(0.5, n_resamples=400, random_state=3)
    part = half.table.xs("mf", level="model")
    np.testing.assert_array_equal(part[["low", "high"]], own[["low", "high"]])
    narrow, wide = (each.loc[("auc", "mf")] for each in (half.table, found.table))
    assert wide["difference_low"] < narrow["difference_low"]
    assert narrow["difference_high"] < wide["difference_high"]


def test_p_values_are_of_the_permutations_and_the_seed_asked_for(found, parts):
    def p_values(n_permutations, seed):
        options = {"n_permutations": n_permutations, "random_state": seed, "n_resamples": 9}
        return compare(found.results, parts[1], **options).table["p_value"].dropna().tolist()

    assert set(p_values(1, 0)) <= {0.5, 1.0}
    one, again, other = (p_values(99, seed) for seed in (0, 0, 1))
    assert one == again != other
    np.testing.assert_allclose(np.multiply(one, 100), np.round(np.multiply(one, 100)), rtol=1e-9)


def test_gains_are_those_asked_for(models, parts):
    test = parts[1]
    grades = 1.0 + np.arange(len(test)) % 3
    graded = tr.Interactions.from_arrays(
        test.rows, test.indices, grades, shape=(test.n_users, test.n_items)
    )
    two = {name: models[name] for name in ("popular", "mf")}
    found = {gains: compare(two, graded, gains=gains).mean for gains in ("binary", "values")}
    for gains, mean in found.items():
        for name, model in two.items():
            assert mean.loc[name].equals(evaluate(model, graded, k=10, gains=gains).mean)
    assert not found["values"].equals(found["binary"])


def test_a_model_beside_itself_does_not_differ(models, parts):
    found = compare({"a": models["mf"], "b": models["mf"]}, parts[1]).table.xs("b", level="model")
    assert (found["difference"] == 0).all() and (found["p_value"] == 1).all()
    assert (found["difference_low"] == 0).all() and (found["effect_size"] == 0).all()


def test_what_is_undefined_for_all_users_is_no_number():
    train = tr.Interactions.from_arrays([0, 0, 1, 1], [0, 1, 1, 2], shape=(2, 4))
    # With what is in train no negative is left.
    test = tr.Interactions.from_arrays([0, 0, 1, 1], [2, 3, 0, 3], shape=(2, 4))
    model = tr.Popularity().fit(train)
    found = compare({"a": model, "b": model}, test, k=2)
    assert found.results["a"].interval().loc["auc"].isna().all()
    of_auc = found.table.loc[("auc", "b")]
    assert of_auc.drop("n_users").isna().all() and of_auc["n_users"] == 0
    assert found.table.loc[("mrr", "b"), "p_value"] == 1


def test_it_shows_itself(found):
    assert repr(found).startswith("Comparison of mf, ease with popular: 95 % intervals\n")
    html = found._repr_html_()
    assert "<table" in html and "ndcg@10" in html and "Comparison of mf, ease with popular" in html
    assert found.mean.loc["mf", "auc"] == found.results["mf"].mean["auc"]
    assert found.mean.index.tolist() == ["popular", "mf", "ease"]


def test_names_are_escaped(models, parts):
    found = compare({"<b>": models["popular"], "x": models["mf"]}, parts[1])
    assert "<b>" not in found._repr_html_()


def test_comparisons_are_equal_to_themselves_alone(found):
    assert found == found and found != dataclasses.replace(found) and len({found}) == 1


def test_plot(found):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    ax = found.plot()
    assert [each.get_text() for each in ax.get_yticklabels()] == ["popular", "mf", "ease"]
    assert "ndcg@5" in ax.get_xlabel()
    drawn = found.table.loc["ndcg@5"]
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), drawn["mean"])
    assert set(ax.lines[-1].get_xdata()) == {drawn["mean"].iloc[0]}
    ends = [[low, high] for (low, _), (high, _) in ax.collections[0].get_segments()]
    np.testing.assert_allclose(ends, drawn[["low", "high"]])
    assert found.plot("auc", ax=ax) is ax
    plt.close("all")
    with pytest.raises(ValueError, match="metric must be one of auc, mrr, .*, got 'ndcg@7'"):
        found.plot("ndcg@7")


def test_evaluations_and_other_models_may_be_compared(found, models, parts):
    train, test = parts
    results = {name: evaluate(each, test, k=(5, 10)) for name, each in models.items()}
    again = compare(results, test, random_state=3, n_resamples=400)
    pd.testing.assert_frame_equal(again.table, found.table)
    factors = models["mf"].user_factors_, models["mf"].item_factors_, models["mf"].item_biases_
    by_hand = compare({"popular": models["popular"], "factors": factors}, test, train, k=10)
    np.testing.assert_allclose(
        by_hand.mean.loc["factors"], found.mean.loc["mf", by_hand.mean.columns], rtol=1e-6
    )
    sampled = {name: evaluate(each, test, sampled=5) for name, each in models.items()}
    assert "ranked against up to 5 sampled items each (biased)" in repr(compare(sampled, test))
    with pytest.raises(ValueError, match="models must be evaluated alike"):
        compare({"a": results["mf"], "b": sampled["mf"]}, test)


def test_evaluations_that_were_not_made_alike_are_refused(models, parts):
    train, test = parts
    model = models["mf"]
    plain = evaluate(model, test)
    for options, what in (
        ({"exclude": None}, "exclude"),
        ({"exclude": ("seen", [0])}, "exclude"),
        ({"k": 5}, "k"),
        ({"gains": "values"}, "gains"),
        ({"sampled": 5}, "sampled"),
        ({"candidates": np.arange(20)}, "candidates"),
    ):
        other = evaluate(model, test, **options)
        message = f"models must be evaluated alike, got '.' with another {what} than 'a'"
        pairs = [{"a": other, "b": plain}, {"a": other, "b": model}, {"a": plain, "b": other}]
        for pair in pairs[:: 2 if what == "k" else 1]:  # a model takes the k of evaluations
            with pytest.raises(ValueError, match=message):
                compare(pair, test)
    part = test[: len(test) // 2]
    with pytest.raises(ValueError, match="got 'b' with another test than 'a'"):
        compare({"a": plain, "b": evaluate(model, part)}, test)
    with pytest.raises(
        ValueError, match=r"models\['a'\] must be an evaluation of test, got one of"
    ):
        compare({"a": plain, "b": plain}, part)
    for made in (plain, evaluate(model, test, k=5)):
        assert compare({"a": made, "b": model}, test).mean.columns.equals(made.mean.index)
    five = evaluate(model, test, k=5)
    with pytest.raises(
        ValueError, match=r"k must be that of .* models\['a'\], \(5,\), got \(20,\)"
    ):
        compare({"a": five, "b": five}, test, k=20)


def test_ids_left_out_for_all_are_compared_as_what_is_excluded(models, parts):
    test = parts[1]
    first, again, other = (
        evaluate(models[name], test, exclude=("seen", ids))
        for name, ids in (("mf", [0, 3]), ("popular", [3, 0]), ("mf", [0, 4]))
    )
    pairs = np.isin(np.arange(test.n_items), [0, 3]) & np.ones((test.n_users, 1), bool)
    as_pairs = evaluate(models["mf"], test, exclude=("seen", pairs))
    for second in (again, as_pairs):
        assert compare({"a": first, "b": second}, test).mean.shape[0] == 2
    with pytest.raises(ValueError, match="got 'b' with another exclude than 'a'"):
        compare({"a": first, "b": other}, test)


def test_evaluations_that_leave_the_same_out_are_made_alike(models, parts):
    train, test = parts
    for options in ({}, {"sampled": 5}, {"candidates": [3, 1, 2, 7, 9]}):
        one = evaluate(models["mf"], test, **options)
        again = pickle.loads(pickle.dumps(evaluate(models["mf"], test, train, **options)))
        assert (compare({"a": one, "b": again}, test).table["difference"].dropna() == 0).all()


@pytest.mark.parametrize("way", ["exclude", "more", "seen and more", "candidates", "of each"])
def test_what_is_asked_for_is_what_evaluations_were_made_with(way, models, parts):
    """Not only where models beside them show it; what is left out says nothing."""
    train, test = parts
    each = {"a": models["popular"], "b": models["mf"]}
    options = {
        "exclude": {"exclude": None},
        "more": {"exclude": [3, 4]},
        "seen and more": {"exclude": ("seen", [3, 4])},
        "candidates": {"candidates": [1, 2, 3, 5, 7, 8, 9]},
        "of each": {"candidates": np.random.default_rng(0).random(train.tocsr().shape) < 0.6},
    }[way]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # positives that are left out
        default = {name: evaluate(model, test, k=10) for name, model in each.items()}
        asked = {name: evaluate(model, test, k=10, **options) for name, model in each.items()}
    message = (
        f"^{next(iter(options))} must be that of the evaluation models\\['a'\\], which was made"
    )
    with pytest.raises(ValueError, match=message):
        compare(default, test, **options)
    means = compare(asked, test, **options).mean
    assert means.equals(compare(asked, test).mean) and not means.equals(compare(default, test).mean)


def test_rounding_is_no_difference():
    """The means over orders of equal scores are those of other rankings but for the last bits."""
    rng, n, m = np.random.default_rng(0), 100, 40
    test, scores = np.zeros((n, m)), np.zeros((n, m))
    for user in range(n):
        order = rng.permutation(m)
        scores[user, order], test[user, order[3:6]] = m - np.arange(m), 1
    tied = np.where(test > 0, (scores * test).max(axis=1, keepdims=True), scores)
    models = {"a": lambda users: scores[users], "b": lambda users: tied[users]}
    table = compare(models, test, k=(5, 10)).table.xs("b", level="model")
    assert (table["difference"] == 0).all() and (table["p_value"] == 1).all()
    assert (table["effect_size"] == 0).all()


def test_models_that_have_seen_different_data(models, parts):
    train, test = parts
    more = np.ones(len(test), bool)
    more[: test.indptr[np.flatnonzero(np.diff(test.indptr))[0] + 1]] = False
    other = tr.Popularity().fit(tr.Interactions(train.tocsr() + test[~more].tocsr()))
    with pytest.warns(UserWarning) as caught:
        table = compare({"a": models["popular"], "b": other}, test).table
    messages = sorted(str(each.message) for each in caught)
    assert len(messages) == 2 and all(each.startswith("b: ") for each in messages)
    assert "differences are of the" in messages[1]
    assert "in what the model was trained on too" in messages[0]
    assert table.loc[("auc", "b"), "n_users"] == table.loc[("auc", "a"), "n_users"] - 1
    with pytest.warns(UserWarning, match="^again, b: .* trained on too") as caught:
        compare({"again": other, "b": other}, test)
    assert len(caught) == 1 and caught[0].filename == __file__


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        (["a"], TypeError, "models must be a dict of names and models, got"),
        ({}, ValueError, "models must be two or more, got 0: evaluate does for one"),
        ({"a": 1}, ValueError, "models must be two or more, got 1"),
    ],
)
def test_what_cannot_be_compared(given, kind, message, parts):
    with pytest.raises(kind, match=message):
        compare(given, parts[1])


def test_arguments_are_checked_before_anything_is_evaluated(models, parts):
    def never(rows):
        raise AssertionError

    for wrong, message in (
        ({"level": 95}, "level must be a number between 0 and 1"),
        ({"n_resamples": 0}, "n_resamples must be an integer >= 1"),
        ({"n_permutations": 0}, "n_permutations must be an integer >= 1"),
        ({"random_state": -1}, "random_state must be from 0"),
    ):
        with pytest.raises(ValueError, match=message):
            compare({"a": never, "b": never}, parts[1], **wrong)
    with pytest.raises(ValueError, match=r"names of models must be text in UTF-8, got 'm\\udce9'"):
        compare({"a": never, "m\udce9": never}, parts[1])
    for last in (None, tr.EASE, tr.EASE(), (np.ones((2, 1)), np.ones((3, 1)))):
        with pytest.raises(
            (TypeError, ValueError), match=r"models\['b'\] (must be a|EASE|scores 2)"
        ):
            compare({"a": never, "b": last}, parts[1])


def test_models_that_know_other_users_or_items_are_refused(models, parts):
    more = tr.Popularity().fit(np.ones((60, 41)))
    message = (
        r"models\['more'\] knows 60 users and 41 items, and models\['mf'\] 60 and 40: evaluate"
    )
    for test in (parts[1], np.ones((60, 41))):
        with pytest.raises(ValueError, match=message):
            compare({"scores": lambda users: users, "mf": models["mf"], "more": more}, test)
