"""The base of all models: `score` and `save`, and what they share with every answer of a fitted model."""

from __future__ import annotations

from os import PathLike
from typing import IO, Any

from tripletrec.data.interactions import Interactions
from tripletrec.evaluation import all_known, full_auc
from tripletrec.models.estimator import check_is_fitted
from tripletrec.models.fit_arguments import check_score_takes
from tripletrec.models.fitted import answer
from tripletrec.models.folds import check_fold, whole
from tripletrec.models.histories import NewUsers
from tripletrec.models.similar import FindingSimilar
from tripletrec.models.vectors import Vectors

__all__ = ["Recommender", "check_test"]


def check_test(model: Recommender, X: Any, exclude: Any) -> tuple[Interactions, Any]:
    """Return test positives as interactions, and what is left out: nothing for a training score.

    Raises or warns where a splitter of scikit-learn has cut them wrongly.
    """
    check_is_fitted(model)
    seen, space = model._seen, model._space()
    excluded = whole(exclude, X, space, "exclude")
    # Of users without training data a model with features of users still knows those.
    unseen, rows = model._has_user_features(), model._of_matrix
    test = check_fold(seen, X, space, unseen=unseen, rows=rows)
    by_seen = isinstance(excluded, str) and excluded == "seen"
    return test, None if by_seen and all_known(test, seen) else excluded


class Recommender(NewUsers, FindingSimilar, Vectors):
    """Base of the models; see `Fitted` for what a model must say of itself."""

    _of_matrix = False  # whether it was trained on a matrix, not on Interactions

    @answer
    def score(self, X: Any, y: Any = None, *, exclude: Any = "seen") -> float:
        """Return the full AUC on the interactions `X`; see `tripletrec.full_auc`.

        Parameters
        ----------
        X : Interactions, sparse matrix or array of shape (n_users, n_items)
            Test positives.
        y : None, or what scikit-learn gives
            Not used.
        exclude : "seen", None, interactions or a matrix as `X`, item ids, or a tuple, default "seen"
            What is left out of the ranking: what the model was trained on, or see `tripletrec.evaluate`.
            None: nothing. Where all positives of `X` were trained on, "seen" means None, too: that is a
            training score, for which scikit-learn's tools give the `X` of `fit` again.

        Returns
        -------
        float
            In [0, 1]; 0.5 is chance.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If `X` or `exclude` speaks of other users or items than the model, as the rows of a matrix do that
            scikit-learn has split.

        Warns
        -----
        UserWarning
            If most users of `X` have no training data, or the rows of a matrix seem to be other users. If
            some positives of `X` were trained on: they are left out.

        Examples
        --------
        >>> import tripletrec as tr
        >>> data = tr.datasets.make_interactions(50, 30, 400, random_state=0)
        >>> 0.5 < tr.MatrixFactorization(n_epochs=20).fit(data).score(data, exclude=None) <= 1
        True
        """
        check_score_takes(y)
        test, excluded = check_test(self, X, exclude)
        return full_auc(self, test, excluded, n_jobs=self.n_jobs)

    @answer
    def save(
        self, path_or_file: str | PathLike[str] | IO[bytes], seen: bool = True, state: bool = False
    ) -> None:
        """Write the fitted model to a safetensors file; see `tripletrec.load`.

        Parameters
        ----------
        path_or_file : path-like or binary file
            A file of that name is replaced when the new one is complete; its mode is kept, and a symbolic
            link stays one. Or a file that is open for writing, such as ``io.BytesIO()``: it stays open.
        seen : bool, default True
            Whether to write which items each user had in training, in 4 bytes an interaction and 8 a user, so
            that the loaded model can leave them out, as this one does. Values that are not all 1 take another
            byte each, or 4 if not all are whole numbers up to 255. Times are not written.
        state : bool, default False
            Whether to write the state of the optimizer, in a few bytes a row, and of `TwoTower` the features
            that it was given, so that the loaded model learns on (`partial_fit`) to the bits that this one
            does.

        Warns
        -----
        UserWarning
            If a callback noted something in ``history_`` that is neither a number nor text: it is left out.
            If a parameter was set after `fit` to what `fit` would not take: the default is saved.

        Raises
        ------
        NotFittedError
            Before `fit`.
        OSError
            If the file cannot be written or is no regular file; an older file stays as it was.
        ValueError, TypeError
            If the model could not be loaded again: a fitted attribute is not as `fit` left it, a part of
            your own has the name of a built-in one, or the class is not one of this package. Nothing is
            written then.

        See Also
        --------
        tripletrec.load : reads such a file.

        Notes
        -----
        Of a loss or another part of your own only the name is saved, of a generator as `random_state`
        nothing.

        Examples
        --------
        >>> import pathlib, tempfile, tripletrec as tr
        >>> data = tr.datasets.make_interactions(50, 30, 400, random_state=0)
        >>> model = tr.MatrixFactorization(n_epochs=2).fit(data)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(pathlib.Path(folder, "model.safetensors"))
        ...     again = tr.load(pathlib.Path(folder, "model.safetensors"))
        >>> bool((again.user_factors_ == model.user_factors_).all())
        True
        """
        # Here, because most models are never saved.
        from tripletrec.models import saving

        saving.save(self, path_or_file, seen=seen, state=state)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = True
        return tags
