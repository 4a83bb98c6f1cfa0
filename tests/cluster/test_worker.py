"""What a worker does with tasks that come at the wrong time, or of a fit that it does not know."""

import pytest

from cluster.fits import DATA, model_of
from tripletrec.cluster import worker as tasks
from tripletrec.cluster.folders import Folder
from tripletrec.cluster.sources import InteractionsSource
from tripletrec.cluster.store import write_meta
from tripletrec.cluster.worker import Job, LostError
from tripletrec.training.epoch_layout import EpochLayout


@pytest.fixture
def job(tmp_path):
    folder, source = Folder(tmp_path), InteractionsSource(DATA)
    users, items = source.count()
    plan = model_of(optimizer="adam", sampler="unseen")._plan()
    epoch_layout = EpochLayout(plan, users.counts, items.counts, given=False)
    source.write_blocks(folder, epoch_layout.deal_users(users.counts), graded=False)
    write_meta(folder, {})
    return Job(folder, epoch_layout, 2)


def test_tasks_out_of_order_are_refused(job):
    memory = {}
    with pytest.raises(LostError, match="nothing of the fit is here"):
        tasks.begin_part(memory, "x", 0, 1)
    tasks.prepare(memory, job, [0])
    with pytest.raises(LostError, match="part 0 of the users is not here"):
        tasks.learn_tile(memory, "x", (1, 0, 0), None)
    tasks.begin_part(memory, "x", 0, 1)
    items = [tasks.draw_items(memory, group) for group in (0, 1)]
    with pytest.raises(LostError, match="not where tile 1 begins"):
        tasks.learn_tile(memory, "x", (1, 1, 0), None, *items)
    learnt = tasks.learn_tile(memory, "x", (1, 0, 0), None, *items)
    with pytest.raises(LostError, match="not where tile 0 begins"):  # which would learn it twice
        tasks.learn_tile(memory, "x", (1, 0, 0), None, *items)
    with pytest.raises(LostError, match="not where epoch 1 ends"):
        tasks.end_part(memory, "x", 0, 1, True, learnt)
    # Another attempt begins with what is in the folder, and tasks of the old one are refused.
    tasks.begin_part(memory, "y", 0, 1)
    with pytest.raises(LostError, match="part 0 of the users is not here"):
        tasks.learn_tile(memory, "x", (1, 1, 0), None, *items)
    again = tasks.learn_tile(memory, "y", (1, 0, 0), None, *items)
    assert learnt.keys() == again.keys()
    for group, each in learnt.items():
        assert all(a.tobytes() == b.tobytes() for a, b in zip(each, again[group], strict=True))
    tasks.learn_tile(memory, "y", (1, 1, 0), None, *items)
    ended = tasks.end_part(memory, "y", 0, 1, True, None)
    assert ended.largest > 0
    # What is here at the end of the epoch need not be read again; what belongs to others is dropped.
    tasks.prepare(memory, job, [0])
    job.folder.remove("blocks")
    tasks.begin_part(memory, "z", 0, 2)
    tasks.prepare(memory, job, [1])
    with pytest.raises(FileNotFoundError):
        tasks.begin_part(memory, "z", 0, 2)


def test_a_folder_that_a_worker_does_not_see(job):
    job.folder.remove("meta.json")
    with pytest.raises(
        ValueError, match="^checkpoint must be a folder that the client and all workers see"
    ):
        tasks.prepare({}, job, [0])
