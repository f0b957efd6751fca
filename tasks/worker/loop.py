"""The worker's loop: beat, find what is due, hand each task to a thread, sweep now and then, leave cleanly."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import FrameType

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import close_old_connections, connection
from django.utils import timezone

from tasks import logs, metrics, wakeup
from tasks.alerts import delivery, life, notices, retention
from tasks.engines.base import AttemptRef, Engine, Observation
from tasks.models import Task, WorkerHeartbeat
from tasks.worker import asking, batching, claims, copying, detection, discarding, drift, lookups, sweeps, totals
from tasks.worker.reconciler import reconcile
from tasks.worker.sweeps import Engines

log = logging.getLogger(__name__)

TICK = 0.05  # seconds between two looks for something due
LONGEST_TICK = 0.25  # the same where the database tells of new operations and none is in hand
FIRST_LOOKS = 1.0  # seconds for which a task in hand is looked at every tick; later every LATER
LATER = 0.25
THREADS = 4
BATCH = 200  # tasks observed in one call of a pass
MOST_DUE = 10_000


class Worker:
    """One worker process. `once` handles all that is in flight and returns: tests and cron use it."""

    def __init__(self, engines: Engines, *, name: str = "", threads: int = THREADS) -> None:
        self.engines = engines
        self.name = name or f"{socket.gethostname()}:{os.getpid()}:{os.urandom(3).hex()}"
        self.threads = threads
        self.stopping = False
        self._woken = threading.Event()
        self._listening = False
        self.started_at = timezone.now()
        # task -> (request, first, next look), in monotonic seconds: each new request is looked at quickly again
        self._in_hand: dict[int, tuple[int | None, float, float]] = {}
        self._busy: dict[int, Future[bool]] = {}
        self._timers: dict[str, float] = {}
        self._sweeping: dict[str, Future[None]] = {}
        self._strays: set[AttemptRef] = set()
        self._slowest_pass = 0.0  # seconds, since the last beat
        self._observed = False
        self._sampled = 0  # the stretch of metrics that was taken last
        self._pool: ThreadPoolExecutor | None = None
        self._sweepers: ThreadPoolExecutor | None = None

    # --- the loop ---------------------------------------------------------------------------------------

    def run(self) -> None:
        """Work until told to stop. A failing database or engine is logged and tried again, never the end."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        log.info("Worker %s began.", self.name)
        if wakeup.can_listen():
            threading.Thread(target=self._listen, name="listen", daemon=True).start()
        with (
            ThreadPoolExecutor(self.threads, thread_name_prefix="step") as self._pool,
            ThreadPoolExecutor(len(self._sweeps()), thread_name_prefix="sweep") as self._sweepers,
        ):
            while not self.stopping:
                pause = LONGEST_TICK if self._listening and not self._in_hand else TICK
                try:
                    self.tick()
                except DatabaseError as error:
                    log.error("The database did not do as asked (%s); trying again.", type(error).__name__)
                    connection.close()
                    pause = 1.0
                except Exception:
                    log.exception("A pass failed; the next one follows.")
                    pause = 1.0
                self._woken.wait(pause)
                self._woken.clear()
        self._leave()

    def once(self) -> None:
        """Carry out all that is in flight, then look once at everything; single-threaded."""
        self._pool = None
        while not self.stopping:
            self._work()
            if not claims.due(self.name).exists():
                break
            time.sleep(TICK)
        for _, _, sweep in self._sweeps():
            sweep()
        self._leave()

    def tick(self) -> None:
        close_old_connections()
        began = time.monotonic()
        self._work()
        self._slowest_pass = max(self._slowest_pass, time.monotonic() - began)
        for name, seconds, sweep in self._sweeps():
            self._every(name, seconds, sweep)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True  # and no more: the loop may hold a lock just now; it looks within LONGEST_TICK

    def _listen(self) -> None:
        while not self.stopping:
            try:
                self._listening = True
                wakeup.listen(self._woken.set, lambda: self.stopping)
            except DatabaseError as error:
                self._listening = False
                log.warning("Not woken by the database any more (%s); trying again.", type(error).__name__)
                time.sleep(1.0)

    def _leave(self) -> None:
        """The tasks run on without a worker; only the leases are given back, where the database answers."""
        try:
            claims.release_all(self.name)
            WorkerHeartbeat.objects.filter(name=self.name).delete()
        except DatabaseError as error:
            log.warning("The leases could not be given back (%s); they run out.", type(error).__name__)
        log.info("Worker %s ended.", self.name)

    # --- operations -------------------------------------------------------------------------------------

    def _work(self) -> None:
        self._busy = {pk: future for pk, future in self._busy.items() if not future.done()}
        # All that is due is known by its key; those whose look is not yet due must not keep the others waiting.
        due = dict(claims.due(self.name).values_list("pk", "last_request_id")[:MOST_DUE])
        now = time.monotonic()
        for pk in self._in_hand.keys() - due.keys():
            del self._in_hand[pk]
        chosen = [pk for pk, asked in due.items() if pk not in self._busy and self._look_due(pk, asked, now)][:BATCH]
        if not chosen:
            return
        claims.take(chosen, self.name)
        mine = Task.objects.select_related("run").filter(pk__in=chosen, lease_owner=self.name)
        wanted = list(mine.order_by("pk"))
        seen = {task.pk: observation for task, observation in sweeps.look_at(wanted, self.engines)}
        for task in wanted:
            self._looked(task.pk, task.last_request_id, now)
            self._step(task, seen.get(task.pk))

    def _look_due(self, pk: int, asked: int | None, now: float) -> bool:
        known, _, due_at = self._in_hand.get(pk, (asked, now, now))
        return known != asked or now >= due_at

    def _looked(self, pk: int, asked: int | None, now: float) -> None:
        known, first, _ = self._in_hand.get(pk, (asked, now, now))
        first = first if known == asked else now
        self._in_hand[pk] = (asked, first, now + (TICK if now - first < FIRST_LOOKS else LATER))

    def _step(self, task: Task, observation: Observation | None) -> None:
        if task.pk in self._busy:
            return
        engine = self.engines(sweeps.engine_kind(task))
        if self._pool is None:
            self._reconcile(task.pk, engine, observation)
        else:
            self._busy[task.pk] = self._pool.submit(self._in_thread, task.pk, engine, observation)

    def _reconcile(self, pk: int, engine: Engine, observation: Observation | None) -> bool:
        try:
            return reconcile(pk, engine, self.name, observation)
        except DatabaseError as error:
            log.error("Task %s: the database did not do as asked (%s).", pk, type(error).__name__)
            connection.close()
        except Exception:
            log.exception("Task %s: the step failed; the next look follows.", pk)
            asked, _, _ = self._in_hand.get(pk, (None, 0.0, 0.0))
            self._in_hand[pk] = (asked, 0.0, time.monotonic() + 2.0)  # a task that raises must not spin
        return True

    def _in_thread(self, pk: int, engine: Engine, observation: Observation | None) -> bool:
        close_old_connections()
        return self._reconcile(pk, engine, observation)

    # --- sweeps -----------------------------------------------------------------------------------------

    def _every(self, name: str, seconds: float, sweep: Callable[[], None]) -> None:
        """Run `sweep` when its time has come, never twice at once."""
        now = time.monotonic()
        running = self._sweeping.get(name)
        if now < self._timers.get(name, 0.0) or (running is not None and not running.done()):
            return
        self._timers[name] = now + seconds
        assert self._sweepers is not None
        self._sweeping[name] = self._sweepers.submit(self._sweep, name, sweep)

    def _sweeps(self) -> tuple[tuple[str, float, Callable[[], None]], ...]:
        """What is done every so many seconds, each in a thread of its own: a slow engine delays only itself."""
        return (
            ("beat", 2.0, self._beat),
            ("observe", settings.OPS_OBSERVE_SECONDS, self._observe),
            ("drift", settings.OPS_OBSERVE_SECONDS, self._find_strays),
            ("names", 5.0, lambda: detection.detect_missing_names(self.name)),
            ("objects", 5.0, self._detect_objects),
            ("groups", 5.0, lambda: sweeps.look_at_groups(self.engines)),
            ("connections", 1.0, lambda: sweeps.test_connections(self.engines)),
            ("batches", 0.25, batching.carry_on),
            ("snapshots", 0.5, lambda: asking.ask_for_snapshots(self.engines)),
            ("lookups", 0.3, lambda: lookups.answer_lookups(self.engines)),
            ("old lookups", 600.0, lookups.forget_lookups),
            ("discard", 5.0, lambda: discarding.discard_ended(self.engines)),
            ("metrics", 1.0, self._sample),
            ("logs", 1.0, lambda: copying.copy_logs(self.engines)),
            ("old logs", 60.0, logs.prune),
            ("old alerts", 600.0, retention.prune),
            ("alerts", settings.OPS_ALERT_SECONDS, self._judge),
            ("messages", 1.0, self._deliver),
            ("totals", 5.0, totals.count_settled),
            ("workers", 60.0, sweeps.forget_dead_workers),
        )

    def _sweep(self, name: str, sweep: Callable[[], None]) -> None:
        close_old_connections()
        try:
            sweep()
        except DatabaseError as error:
            log.error("Sweep %s: the database did not do as asked (%s).", name, type(error).__name__)
            connection.close()
        except Exception:
            log.exception("Sweep %s failed; it is tried again.", name)

    def _beat(self) -> None:
        slowest, self._slowest_pass = self._slowest_pass, 0.0
        shown = {"beat_at": timezone.now(), "pass_ms": slowest * 1000, "in_hand": len(self._in_hand)}
        WorkerHeartbeat.objects.update_or_create(
            name=self.name,
            defaults=shown,
            create_defaults={**shown, "pid": os.getpid(), "started_at": self.started_at},
        )

    def _observe(self) -> None:
        for task, observation in [*sweeps.observe(self.engines), *sweeps.observe_unknown(self.engines)]:
            self._step(task, observation)
        self._observed = True

    def _sample(self) -> None:
        """Each worker tries each stretch: whoever is first has taken it, and none is missed while one lives."""
        now = time.time()
        if (at := metrics.last_closed(now)) > self._sampled:
            metrics.take(at, now)
            metrics.roll_up(now)
            metrics.prune(now)
            self._sampled = at

    def _judge(self) -> None:
        """Before the first look at the engines each task seems unheard of: that would be this worker's own silence."""
        if self._observed:
            life.judge_all()
            notices.send_due()

    def _deliver(self) -> None:
        delivery.deliver(self.name, lambda: self.stopping)

    def _detect_objects(self) -> None:
        detection.detect_missing_objects(self.engines, self.name, ended=lambda: self.stopping)

    def _find_strays(self) -> None:
        for task in drift.find_strays(self.engines, self._strays):
            self._step(task, None)
