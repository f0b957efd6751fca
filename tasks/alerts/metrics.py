"""What a rule can look at: one table, read by the evaluation, the editor, the preview and the messages."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from tasks.models.alert_rule import AlertMetric, Comparison
from tasks.statuses import Status


class How(Enum):
    """How a metric is read of a task."""

    STATUS = "status"  # seconds that the task has had a status
    NOW = "now"  # a column of the running task, in `scale` of the metric's unit
    RATE = "rate"  # by how much a counter grew each second of the window
    GROWTH = "growth"  # by how much a counter grew within the window
    RESTARTS = "restarts"  # automatic restarts within the last `span` seconds
    EXCEPTION = "exception"  # it runs, with an error that is being retried
    SNAPSHOT = "snapshot"  # snapshot intervals for which it has written without taking one
    STUCK = "stuck"  # seconds for which nothing was written, while the source has more
    UNHEARD = "unheard"  # seconds for which its engine has not told of it


@dataclass(frozen=True, slots=True)
class Metric:
    """`threshold`, `window` and `comparison` are the defaults of a new rule; a None one is not asked for."""

    code: AlertMetric
    how: How
    meaning: str
    unit: str = ""
    threshold: float | None = None
    window: int | None = 60
    comparison: Comparison = Comparison.ABOVE
    column: str = ""
    scale: float = 1.0  # of the column, to the unit
    status: Status | None = None
    is_news: bool = False  # counts only from when the rule was turned on
    span: int = 0

    @property
    def label(self) -> str:
        return str(self.code.label)

    @property
    def averages(self) -> bool:
        """Whether the window is what is looked at, rather than how long it must last."""
        return self.how in (How.RATE, How.GROWTH)

    @property
    def is_of_time(self) -> bool:
        """Whether it tells for how long, or how often, something is wrong: less of it is never worth an alert."""
        return self.how not in (How.RATE, How.GROWTH, How.NOW)


_M = AlertMetric
_ALL: Final = (
    Metric(_M.TASK_FAILURE, How.STATUS, "The task is a Failure.", window=0, status=Status.FAILURE),
    Metric(
        _M.RUN_TIMEOUT,
        How.STATUS,
        "An operation takes long: the task has been Operating for more than so many seconds.",
        "s",
        30,
        None,
        status=Status.OPERATING,
    ),
    Metric(
        _M.TASK_STOPPED,
        How.STATUS,
        "The task was stopped, or ended by itself, since the rule was turned on.",
        window=0,
        status=Status.STOPPED,
        is_news=True,
    ),
    Metric(
        _M.TASK_PAUSED,
        How.STATUS,
        "The task was paused, normally or by force, since the rule was turned on.",
        window=0,
        status=Status.PAUSED,
        is_news=True,
    ),
    Metric(
        _M.READ_SPEED,
        How.RATE,
        "Rows read each second, averaged over the window.",
        "rows/s",
        1,
        300,
        Comparison.BELOW,
        "rows_read",
    ),
    Metric(
        _M.WRITE_SPEED,
        How.RATE,
        "Rows written each second, averaged over the window.",
        "rows/s",
        1,
        300,
        Comparison.BELOW,
        "rows_written",
    ),
    Metric(
        _M.READ_THROUGHPUT,
        How.RATE,
        "Bytes read each second, averaged over the window.",
        "bytes/s",
        100,
        300,
        Comparison.BELOW,
        "bytes_read",
    ),
    Metric(
        _M.WRITE_THROUGHPUT,
        How.RATE,
        "Bytes written each second, averaged over the window.",
        "bytes/s",
        100,
        300,
        Comparison.BELOW,
        "bytes_written",
    ),
    Metric(
        _M.DIRTY_BYTES,
        How.GROWTH,
        "Bytes of rows that could not be written, within the window.",
        "bytes",
        0,
        600,
        column="bytes_dirty",
    ),
    Metric(
        _M.DIRTY_ROWS,
        How.GROWTH,
        "Rows that could not be written, within the window.",
        "rows",
        0,
        600,
        column="rows_dirty",
    ),
    Metric(
        _M.TASK_EXCEPTION,
        How.EXCEPTION,
        "The task is Running, with an error that is retried, or between two automatic restarts.",
        window=0,
    ),
    Metric(
        _M.DETECTION_EXCEPTION,
        How.STATUS,
        "The resource group, a connection, or the source or target object is missing.",
        window=0,
        status=Status.DETECTION_EXCEPTION,
    ),
    Metric(_M.RESTARTS_10M, How.RESTARTS, "Automatic restarts within the last 10 minutes.", "times", 2, None, span=600),
    Metric(
        _M.RESTARTS_20M, How.RESTARTS, "Automatic restarts within the last 20 minutes.", "times", 3, None, span=1_200
    ),
    Metric(
        _M.TASK_DELAY,
        How.NOW,
        "How long the task has been behind its source while it runs.",
        "s",
        60,
        60,
        column="lag_seconds",
    ),
    Metric(
        _M.TRANSFER_LATENCY,
        How.NOW,
        "How long a row takes from being read to being committed in the target.",
        "ms",
        5_000,
        60,
        column="delivery_ms",
    ),
    Metric(
        _M.BUSINESS_LATENCY,
        How.NOW,
        "How old a row's event is when it is committed in the target; needs event_time in the source's options.",
        "s",
        60,
        60,
        column="event_lag_ms",
        scale=0.001,
    ),
    Metric(
        _M.NO_SNAPSHOT,
        How.SNAPSHOT,
        "The task writes, but has taken no snapshot for more than so many of its snapshot intervals.",
        "intervals",
        5,
        30,
    ),
    Metric(
        _M.NO_PROGRESS,
        How.STUCK,
        "Nothing was written for more than so many seconds, while the source has more.",
        "s",
        120,
        10,
    ),
    Metric(
        _M.NOT_HEARD,
        How.UNHEARD,
        "The task is Running, but its engine has not told of it for more than so many seconds.",
        "s",
        30,
        10,
    ),
    Metric(
        _M.PAUSED_LONG,
        How.STATUS,
        "The task has been Paused for more than so many seconds: a source that purges may drop its offset.",
        "s",
        21_600,
        None,
        status=Status.PAUSED,
    ),
)
METRICS: Final[dict[str, Metric]] = {metric.code.value: metric for metric in _ALL}
