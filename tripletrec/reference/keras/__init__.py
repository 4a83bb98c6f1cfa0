"""Mini-batch training as old Keras does it, for the replicas."""

from tripletrec.reference.keras.deferred_adam import DeferredAdam
from tripletrec.reference.keras.embedding import Embedding
from tripletrec.reference.keras.optimizers import SGD, Adagrad, Adam, DenseOptimizer
from tripletrec.reference.keras.train_epoch import train_epoch
from tripletrec.reference.keras.triplet_model import TripletModel

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "DeferredAdam",
    "DenseOptimizer",
    "Embedding",
    "TripletModel",
    "train_epoch",
]
