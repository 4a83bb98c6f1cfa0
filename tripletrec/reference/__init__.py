"""Six published Keras systems, replicas of them, and how far they agree; users' models do not need this.

`SYSTEMS` is the table of systems; `train_replica` trains one replica with the semantics of the original
(mini-batches, mean loss, dense optimizer); `reproduce` trains all of them over several seeds, and
`format_report` returns the comparison as text. On the command line: ``tripletrec reproduce``.
"""

from tripletrec.reference.best_perceptron import best_perceptron_section
from tripletrec.reference.native import NATIVE, Native, train_native
from tripletrec.reference.native import SECTIONS as _FACTOR_SECTIONS
from tripletrec.reference.replica import Task, draw_negatives, train_replica, training_task
from tripletrec.reference.report import format_report, reproduce
from tripletrec.reference.systems import SYSTEMS, Recipe, ReferenceSystem
from tripletrec.reference.towers import towers_section

__all__ = [
    "NATIVE",
    "SECTIONS",
    "SYSTEMS",
    "Native",
    "Recipe",
    "ReferenceSystem",
    "Task",
    "draw_negatives",
    "format_report",
    "reproduce",
    "train_native",
    "train_replica",
    "training_task",
]

# What the command ``tripletrec reproduce`` adds to the replicas.
SECTIONS = (*_FACTOR_SECTIONS, best_perceptron_section, towers_section)
