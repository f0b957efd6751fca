"""Hypothesis drives acceptance, workers, engine and time against a model of the matrix, written down here again."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tasks.engines.base import ALIVE, AttemptRef, EngineState, ErrorClass, Fault, SnapshotInfo, TaskSpec
from tasks.models import Attempt, OperationRequest, ResourceGroup, Run, Snapshot, StatusChange, Task
from tasks.operations import SYSTEM, OperationRefused, accept
from tasks.statuses import Channel, Operation, Outcome, Status
from tasks.transitions import LEGAL
from tasks.worker import specs, sweeps
from tasks.worker.reconciler import reconcile
from tests.factories import make_group, make_task
from tests.fakes import FakeEngine, snapshot_info

#: The matrix by hand: what a status allows. A change of tasks/matrix.py has to be meant twice.
ALLOWED = {
    Status.INITIALIZE: {Operation.RUN},
    Status.OPERATING: set(),
    Status.RUNNING: {Operation.PAUSE, Operation.FORCED_PAUSE, Operation.STOP},
    Status.PAUSED: {Operation.CONTINUE, Operation.STOP},
    Status.STOPPED: {Operation.RUN},
    Status.FAILURE: {Operation.RUN, Operation.CONTINUE, Operation.STOP},
    Status.DETECTION_EXCEPTION: {Operation.STOP, Operation.DETECT},
}
ENDS = st.sampled_from(
    [
        EngineState.LOST,
        EngineState.FAILED,
        EngineState.FINISHED,
        EngineState.PAUSED,
        EngineState.KILLED,
        EngineState.DRAINED,
    ]
)
FAULTS = st.sampled_from(
    [
        Fault(ErrorClass.TRANSIENT, "locked", "The database is locked."),
        Fault(ErrorClass.PERMANENT, "column_missing", "No column id."),
        Fault(ErrorClass.MISSING, "table_missing", "No table orders.", "", "table orders"),
    ]
)
WORKERS = st.sampled_from(["worker-a", "worker-b"])


class OneAtATime(FakeEngine):
    """Refuses to be asked for a second attempt while one is alive: whoever asks has made a mistake."""

    def start(self, spec: TaskSpec, epoch: int, snapshot: SnapshotInfo | None) -> AttemptRef:
        mine = [ref for ref, seen in self.shown.items() if ref.task == spec.task and seen.state in ALIVE]
        assert all((ref.run, ref.epoch) == (spec.run, epoch) for ref in mine), (
            f"{mine} alive, {spec.run}/{epoch} asked for"
        )
        return super().start(spec, epoch, snapshot)


class Life(RuleBasedStateMachine):
    """One task, two workers, an engine that shows anything, and time that passes in leaps."""

    def __init__(self) -> None:
        super().__init__()
        make_group()
        self.engine = OneAtATime()
        self.pk = make_task(restart_limit=2).pk

    @property
    def task(self) -> Task:
        return Task.objects.select_related("run", "last_request").get(pk=self.pk)

    @property
    def newest(self) -> AttemptRef | None:
        run = self.task.run
        ref = specs.attempt_ref(self.task, run) if run is not None and run.epoch else None
        return ref if ref in self.engine.shown else None

    # --- what people do ---------------------------------------------------------------------------------

    @rule(operation=st.sampled_from(list(Operation)))
    def ask(self, operation: Operation) -> None:
        task = self.task
        expected = operation in ALLOWED[Status(task.status)]
        if operation is Operation.CONTINUE:
            expected = expected and Snapshot.objects.filter(task=task, unusable="").exists()
        if operation is Operation.PAUSE:
            expected = expected and task.restart_at is None
        try:
            accept(task_id=self.pk, operation=operation, actor=SYSTEM, channel=Channel.API)
        except OperationRefused:
            was_accepted = False
        else:
            was_accepted = True
        assert was_accepted == expected, f"{operation} in {task.status}"
        assert self.task.status == (Status.OPERATING if was_accepted else task.status)

    # --- what workers do --------------------------------------------------------------------------------

    @rule(owner=WORKERS, times=st.integers(1, 4))
    def step(self, owner: str, times: int) -> None:
        for _ in range(times):
            reconcile(self.pk, self.engine, owner)

    @rule(owner=WORKERS)
    def look_late(self, owner: str) -> None:
        """A step on an observation that may be older than what it is compared with."""
        pairs = sweeps.look_at([self.task], lambda kind: self.engine)
        for task, observation in pairs:
            reconcile(task.pk, self.engine, owner, observation)

    @rule()
    def leases_run_out(self) -> None:
        Task.objects.filter(pk=self.pk, lease_until__isnull=False).update(lease_until=timezone.now() - timedelta(1))

    # --- what time does ---------------------------------------------------------------------------------

    @rule()
    def deadlines_pass(self) -> None:
        OperationRequest.objects.filter(task=self.pk, outcome=Outcome.OPEN).update(deadline_at=timezone.now())

    @rule()
    def restarts_are_due(self) -> None:
        Task.objects.filter(pk=self.pk, restart_at__isnull=False).update(restart_at=timezone.now())

    # --- what the engine and the world do ---------------------------------------------------------------

    @rule()
    def falls_silent_or_answers(self) -> None:
        self.engine.reachable = not self.engine.reachable

    @precondition(lambda self: self.newest is not None)
    @rule(state=ENDS, fault=FAULTS)
    def ends_by_itself(self, state: EngineState, fault: Fault) -> None:
        ref = self.newest
        assert ref is not None
        if self.engine.shown[ref].state in ALIVE:
            self.engine.show(ref, state, fault=fault if state is EngineState.FAILED else None)

    @precondition(lambda self: self.newest is not None)
    @rule(n=st.integers(1, 50))
    def takes_a_snapshot(self, n: int) -> None:
        ref = self.newest
        assert ref is not None
        if self.engine.shown[ref].state in ALIVE:
            self.engine.show(ref, self.engine.shown[ref].state, snapshots=(snapshot_info(ref, n),))

    @precondition(lambda self: self.newest is not None)
    @rule(succeeds=st.booleans())
    def ends_its_pause(self, succeeds: bool) -> None:
        ref = self.newest
        assert ref is not None
        if self.engine.shown[ref].state is EngineState.PAUSING:
            state = EngineState.PAUSED if succeeds else EngineState.RUNNING
            self.engine.show(ref, state, pause_error="" if succeeds else "The target is locked.")

    @rule(faulty=st.booleans(), fault=FAULTS)
    def checks_find(self, faulty: bool, fault: Fault) -> None:
        self.engine.faults = (fault,) if faulty else ()

    @rule()
    def group_goes_or_comes(self) -> None:
        if ResourceGroup.objects.filter(name="local").exists():
            ResourceGroup.objects.all().delete()
        else:
            make_group()

    # --- what must always be true -----------------------------------------------------------------------

    @invariant()
    def history_is_whole_and_legal(self) -> None:
        now = ""
        for change in StatusChange.objects.filter(task=self.pk).order_by("pk"):
            assert change.from_status == (now or Status.INITIALIZE)
            if change.from_status != change.to_status:
                assert (Status(change.from_status), Status(change.to_status)) in LEGAL
            now = change.to_status
        assert self.task.status == (now or Status.INITIALIZE)

    @invariant()
    def operating_means_one_open_request(self) -> None:
        open_ = OperationRequest.objects.filter(task=self.pk, outcome=Outcome.OPEN).count()
        assert open_ == (1 if self.task.status == Status.OPERATING else 0)

    @invariant()
    def runs_and_attempts_are_in_order(self) -> None:
        task = self.task
        assert Run.objects.filter(task=task, ended_at__isnull=True).count() == (1 if task.run else 0)
        assert Attempt.objects.filter(run__task=task, ended_at__isnull=True).count() <= 1
        if task.status in (Status.INITIALIZE, Status.STOPPED):
            assert task.run is None or task.status == Status.INITIALIZE
            assert not Snapshot.objects.filter(task=task).exists() or task.run is not None

    def teardown(self) -> None:
        """However it went on: when engine and group are there and time goes by, everything settles."""
        make_group()
        self.engine.reachable, self.engine.faults = True, ()
        for _ in range(40):
            self.leases_run_out()
            self.restarts_are_due()
            ref = self.newest
            if ref is not None and self.engine.shown[ref].state is EngineState.PAUSING:
                self.ends_its_pause(succeeds=True)
            reconcile(self.pk, self.engine, "worker-a")
        task = self.task
        assert task.status != Status.OPERATING, task.status_reason
        assert task.restart_at is None
        pending = (Outcome.OPEN, Outcome.UNKNOWN)
        assert not OperationRequest.objects.filter(task=task, outcome__in=pending).exists()
        if task.status == Status.RUNNING:
            ref = self.newest
            assert ref is not None
            assert self.engine.shown[ref].state in ALIVE
        self.history_is_whole_and_legal()


@pytest.mark.django_db
@pytest.mark.timeout(900)
def test_no_way_leads_to_an_illegal_or_stuck_state() -> None:
    examples, steps = (50, 60) if os.environ.get("CHAOS_LONG") else (40, 30)
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Life,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            print_blob=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
