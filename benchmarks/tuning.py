"""What `tr.tune` with its default spaces finds on MovieLens-100K or Gowalla, beside the models as they are.

    python benchmarks/tuning.py --trials 30
    python benchmarks/tuning.py --gowalla FOLDER --models bpr --timeout 1800 --storage sqlite:///gowalla.db

On MovieLens-100K the validation data are a tenth of the training data, at random; on Gowalla those of
`published.py`, of every sixth user in a trial. The best model is fitted again on all training data, and the
test set is read once for each row that is printed. Needs Optuna.
"""

from __future__ import annotations

import argparse
import time

import tripletrec as tr
from published import read
from split_folder import split_folder

METRICS = ["auc", "ndcg@10", "recall@10", "ndcg@20", "recall@20"]
MODELS = ("bpr", "softmax", "ease")
SHARE_OF_USERS = 6  # one of so many users of Gowalla is validated on


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--metric", default="ndcg@10")
    parser.add_argument("--gowalla", type=split_folder, help="the folder of published.py")
    parser.add_argument("--timeout", type=float, help="seconds after which no trial begins")
    parser.add_argument("--storage", help="of Optuna, to go on another time")
    parser.add_argument("--n-jobs", type=int)
    options = parser.parse_args()
    if options.gowalla:
        train, valid, whole, test = read(options.gowalla)
        validation = valid[valid.rows % SHARE_OF_USERS == 0]
    else:
        data = tr.datasets.fetch_movielens_100k()
        train, whole, test, validation = data.train, data.train, data.test, 0.1
    print("model\ttrials\tseconds\tvalidation\t" + "\t".join(METRICS))
    for name in options.models:
        model = made(name, options.n_jobs)
        row(name, 0, 0.0, float("nan"), model.fit(whole), test)
        started = time.perf_counter()
        found = tr.tune(
            model, None, train, validation=validation, metric=options.metric, n_trials=options.trials,
            timeout=options.timeout, storage=options.storage, refit=None, random_state=0,
        )  # fmt: skip
        seconds = time.perf_counter() - started
        print(f"# {found}")
        print(f"# importance: {found.importance.round(2).to_dict()}")
        print(f"# the model as it is, validation: {found.trials['value'].iloc[0]:.4f}", flush=True)
        best = type(model)(**{**model.get_params(), **found.best_params}).fit(whole)
        row(name, len(found.trials), seconds, found.best_value, best, test)


def made(name: str, n_jobs: int | None):
    if name == "ease":
        return tr.EASE()
    return tr.MatrixFactorization.preset(name, n_jobs=n_jobs)


def row(name, trials, seconds, validated, model, test) -> None:
    mean = tr.evaluate(model, test, k=(10, 20)).mean
    numbers = "\t".join(f"{mean[each]:.4f}" for each in METRICS)
    print(f"{name}\t{trials}\t{seconds:.0f}\t{validated:.4f}\t{numbers}", flush=True)


if __name__ == "__main__":
    main()
