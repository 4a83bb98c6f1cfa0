"""Splits of interactions into training and test parts; measuring on the test part is `evaluation`."""

from tripletrec.splits.at_random import leave_k_out, train_test_split
from tripletrec.splits.by_time import Dropped, TimeSplit, leave_last_out, time_split
from tripletrec.splits.by_user import UserSplit, user_split
from tripletrec.splits.folds import InteractionKFold, TimeFolds

__all__ = [
    "Dropped",
    "InteractionKFold",
    "TimeFolds",
    "TimeSplit",
    "UserSplit",
    "leave_k_out",
    "leave_last_out",
    "time_split",
    "train_test_split",
    "user_split",
]
