"""The contract of interrupted fits: what is learnt does not depend on where a fit was cut in two."""

import contextlib
import itertools

import numpy as np
import pytest

from contracts.support import Contract, assert_same, interactions, negatives_of, with_ids


class CheckpointContract(Contract):
    """Inherit, and give `make` and `variants`."""

    variants = ({},)
    """Parameters of trainings that keep other things."""

    def begin(self, data, **params):
        """Return the training that `fit` would run, and its negatives."""
        model = self.make(n_epochs=6, **params)
        given = negatives_of(data) if params.get("sampler") == "explicit" else None
        features = {}
        if hasattr(model, "own_factors"):
            features = {"user_features": None, "item_features": None}
        given = None if given is None else type(data)(given)
        plan = model._plan_for(model._plan(), data, given)
        return model._begin(plan, data, None, given, **features).training

    def test_a_training_goes_on_from_a_state(self, rng):
        data = interactions(40, 60, 600)
        for params in self.variants:
            whole, first, second = (self.begin(data, **params) for _ in range(3))
            cut = int(rng.integers(1, 6))
            for number in range(1, 7):
                (first if number <= cut else second).run_epoch(number)
                whole.run_epoch(number)
                if number == cut:
                    second.factors  # noqa: B018 - of before: must not be kept
                    second.restore({name: each.copy() for name, each in first.state().items()})
            for name, expected in whole.state().items():
                np.testing.assert_array_equal(second.state()[name], expected, err_msg=name)
            for ours, theirs in zip(second.factors, whole.factors, strict=True):
                np.testing.assert_array_equal(ours, theirs)

    def test_a_state_of_another_size_is_refused(self):
        training = self.begin(interactions(40, 60, 600))
        before = {name: each.copy() for name, each in training.state().items()}
        other = self.begin(interactions(41, 60, 600)).state()
        for wrong in (other, {}, {**before, "more": np.zeros(3)}):
            with pytest.raises(ValueError, match="the array"):
                training.restore(wrong)
        for name, each in training.state().items():
            np.testing.assert_array_equal(each, before[name])

    def test_an_interrupted_fit_goes_on_to_the_same_bits(self, tmp_path, rng, many):
        """Cut in two after any epoch, with and without what is given beside the data."""
        data, path = interactions(40, 60, 600), tmp_path / "fit.checkpoint"
        held_out = negatives_of(data, seed=9)
        stops = {}, {"early_stopping": 2, "validation_metric": "ndcg@5"}
        cases = list(itertools.product(self.variants, stops))
        for n in rng.permutation(len(cases))[: many(20)]:
            params, stopping = cases[n]
            given = {"negatives": negatives_of(data)} if params.get("sampler") == "explicit" else {}
            if stopping:
                given["validation"] = held_out
            cut = int(rng.integers(1, 5))
            settings = {"random_state": int(rng.integers(99)), **params, **stopping}
            expected = self.make(**settings).fit(data, **given)
            with contextlib.suppress(CutError):
                self.make(**settings).fit(data, **given, callbacks=cut_at(cut), checkpoint=path)
            assert path.exists() == (1 < cut <= len(expected.history_))
            seen = []
            resumed = self.make(**settings).fit(
                data, **given, checkpoint=str(path),
                callbacks=lambda model, record, seen=seen: seen.append(record["epoch"]),
            )  # fmt: skip
            assert_same(resumed, expected)
            assert seen[0] == (cut if cut <= len(expected.history_) else 1)
            assert not list(tmp_path.iterdir())

    def test_a_checkpoint_changes_nothing_and_is_gone_at_the_end(self, fitted, pairs, tmp_path):
        for checkpoint in (tmp_path / "a", str(tmp_path / "b"), (tmp_path / "c", 60), ("d", 0.0)):
            with contextlib.chdir(tmp_path):
                assert_same(self.make().fit(pairs, checkpoint=checkpoint), fitted)
            assert not list(tmp_path.iterdir())

    def test_a_checkpoint_of_another_fit_is_refused(self, pairs, tmp_path):
        path = tmp_path / "fit.checkpoint"
        with pytest.raises(CutError):
            self.make().fit(pairs, callbacks=cut_at(3), checkpoint=path)
        before, one_less = path.read_bytes(), pairs[1:]
        for params, data, options, message in (
            ({}, one_less, {}, "of another fit: the argument X differs"),
            ({}, with_ids("str", pairs), {}, "of another fit: the argument X differs"),
            ({}, pairs, {"validation": negatives_of(pairs)}, "validation differs"),
            ({}, pairs, {"sample_weight": np.full(len(pairs), 2.0)}, "sample_weight differs"),
            ({}, pairs, {"negatives": negatives_of(pairs)}, "negatives differs"),
            ({"n_epochs": 9}, pairs, {}, "n_epochs is 5 there and 9 here"),
            ({"learning_rate": 0.05}, pairs, {}, "learning_rate is .* there and 0.05 here"),
            ({"loss": "sigmoid"}, pairs, {}, "loss is .* there and .* here"),
            ({"random_state": 5}, pairs, {}, "the seed is 0 there and 5 here"),
        ):
            with pytest.raises(ValueError, match=f"{message}; delete the file") as caught:
                self.make(**params).fit(data, checkpoint=path, **options)
            assert "\n" not in str(caught.value)
            assert path.read_bytes() == before
        self.make(n_jobs=2, verbose=1).fit(pairs, checkpoint=path)

    def test_what_is_drawn_once_is_not_drawn_again(self, pairs, tmp_path):
        """With random_state=None or a generator the seed is that of the checkpoint."""
        path = tmp_path / "fit.checkpoint"
        for state in (lambda: None, lambda: np.random.default_rng(3), np.random.RandomState):
            with pytest.raises(CutError):
                self.make(random_state=state()).fit(pairs, callbacks=cut_at(4), checkpoint=path)
            seen = []
            self.make(random_state=state()).fit(
                pairs, checkpoint=path,
                callbacks=lambda model, record, seen=seen: seen.append(record["epoch"]),
            )  # fmt: skip
            assert seen == [4, 5]

    @pytest.mark.parametrize("damage", ["cut", "empty", "foreign", "text", "state", "history"])
    def test_a_damaged_file_is_refused_and_left_alone(self, damage, fitted, pairs, tmp_path):
        path = tmp_path / "fit.checkpoint"
        with pytest.raises(CutError):
            self.make().fit(pairs, callbacks=cut_at(3), checkpoint=path)
        content = path.read_bytes()
        if damage in ("cut", "empty"):
            path.write_bytes(content[: -7 if damage == "cut" else 0])
        elif damage == "foreign":
            fitted.save(path)
        elif damage == "text":
            path.write_text("notes of mine")
        else:
            old, new = {
                "state": (b'"state.', b'"stat_.'),
                "history": (b'\\"epoch\\": 2', b'\\"epoch\\": 7'),
            }[damage]
            assert old in content
            path.write_bytes(content.replace(old, new))
        before = path.read_bytes()
        with pytest.raises(ValueError, match="checkpoint .* cannot be read: .*; delete") as caught:
            self.make().fit(pairs, checkpoint=path)
        assert "\n" not in str(caught.value)
        assert path.read_bytes() == before

    def test_bad_values_are_refused_before_the_first_epoch(self, pairs, tmp_path):
        model, seen = self.make(), []
        for checkpoint, message in (
            (3, "checkpoint must be a path, or a path and seconds, got 3"),
            (b"a", "checkpoint must be a path"),
            ((tmp_path / "a",), "checkpoint must be a path, or a path and seconds"),
            ((tmp_path / "a", -1), "seconds of checkpoint must be a finite number >= 0, got -1"),
            ((tmp_path / "a", "30"), "seconds of checkpoint must be a finite number >= 0"),
            (tmp_path, "checkpoint must be a file, got the folder"),
            (tmp_path / "none" / "a", "checkpoint must be in a folder that can be written"),
        ):
            with pytest.raises((ValueError, TypeError), match=message):
                model.fit(pairs, checkpoint=checkpoint, callbacks=lambda *each: seen.append(each))
        assert not seen and not hasattr(model, "n_users_") and not list(tmp_path.iterdir())

    def test_notes_of_callbacks_are_kept(self, pairs, tmp_path):
        def note(model, record):
            record["note"] = [record["epoch"] / 3, "ü", None]
            record["lost"] = object()

        path = tmp_path / "fit.checkpoint"
        with (
            pytest.raises(CutError),
            pytest.warns(UserWarning, match="'lost' is not in the checkpoint") as warned,
        ):
            self.make().fit(pairs, callbacks=[note, cut_at(4)], checkpoint=path)
        assert len([each for each in warned if "'lost'" in str(each.message)]) == 1
        assert all(each.filename == __file__ for each in warned)
        model = self.make().fit(pairs, checkpoint=path)
        assert [each.get("note") for each in model.history_] == [
            *([epoch / 3, "ü", None] for epoch in (1, 2, 3)), None, None,
        ]  # fmt: skip

    def test_nothing_is_left_of_a_fit_that_diverges(self, pairs, tmp_path):
        """It would diverge again, tomorrow with other data."""
        path = tmp_path / "fit.checkpoint"
        model = self.make(learning_rate=1e30)
        with pytest.raises(FloatingPointError), np.errstate(all="ignore"):
            model.fit(pairs, checkpoint=path)
        assert not path.exists()


class CutError(Exception):
    """What interrupts a fit here."""


def cut_at(epoch):
    """Return a callback that interrupts the fit after an epoch, before its checkpoint is written."""

    def cut(model, record):
        if record["epoch"] == epoch:
            raise CutError

    return cut
