"""What `tr.tune` with its default spaces finds on MovieLens-100K, beside the models as they are.

    python benchmarks/tuning.py --trials 30

The validation data are a tenth of the training data, at random; the best model is fitted again on all
training data, and the test set is read once for each row that is printed. Needs Optuna.
"""

from __future__ import annotations

import argparse
import time

import tripletrec as tr

METRICS = ["auc", "ndcg@10", "recall@10"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--models", nargs="+", default=["bpr", "softmax", "ease"])
    parser.add_argument("--metric", default="ndcg@10")
    options = parser.parse_args()
    data = tr.datasets.fetch_movielens_100k()
    print("model\ttrials\tseconds\tvalidation\t" + "\t".join(METRICS))
    for name in options.models:
        model = tr.EASE() if name == "ease" else tr.MatrixFactorization.preset(name)
        row(name, 0, 0.0, float("nan"), model.fit(data.train), data.test)
        started = time.perf_counter()
        found = tr.tune(
            model, None, data.train, metric=options.metric, n_trials=options.trials, random_state=0
        )
        seconds = time.perf_counter() - started
        row(name, len(found.trials), seconds, found.best_value, found.best_model, data.test)
        print(f"# {found.best_params}")
        print(f"# importance: {found.importance.round(2).to_dict()}", flush=True)


def row(name, trials, seconds, validated, model, test) -> None:
    mean = tr.evaluate(model, test, k=10).mean
    numbers = "\t".join(f"{mean[each]:.4f}" for each in METRICS)
    print(f"{name}\t{trials}\t{seconds:.0f}\t{validated:.4f}\t{numbers}", flush=True)


if __name__ == "__main__":
    main()
