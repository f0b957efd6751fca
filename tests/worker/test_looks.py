"""How often the worker looks at a task that it has in hand: every tick at first, then more seldom, for each request."""

from __future__ import annotations

from tasks.worker.loop import FIRST_LOOKS, LATER, TICK, Worker
from tests.fakes import FakeEngine


def test_a_new_request_is_looked_at_as_quickly_as_the_one_before_it() -> None:
    worker = Worker(lambda kind: FakeEngine(), name="worker-a")
    for n in range(21):
        now = n * (TICK + 1e-6)
        assert worker._look_due(1, 7, now)
        worker._looked(1, 7, now)
    now += TICK + 1e-6
    assert now > FIRST_LOOKS
    assert not worker._look_due(1, 7, now)  # it takes long: no need to look all the time
    assert worker._look_due(1, 7, now + LATER)
    assert worker._look_due(1, 8, now)  # the next operation follows at once, as in a script
    worker._looked(1, 8, now)
    assert worker._look_due(1, 8, now + TICK + 1e-6)
