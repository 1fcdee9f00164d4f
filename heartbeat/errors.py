"""Every exception that Heartbeat raises on purpose, as one tree.

    HeartbeatError
    ├── ConfigError            a setting or a task is wrong; names file, line and key
    ├── QueryError             a task's query cannot be parsed; names the position
    ├── RecordError
    │   ├── UndecodableRecord  bytes that are no record of ours: the message goes to dead letters
    │   └── UnencodableRecord  a value that does not fit its schema: the handler fails, not the commit
    ├── Retry                  raised by a handler: not the messages' fault, give the same batch again later
    ├── LogError
    │   ├── BadLogUrl          a broker URL that names no usable place
    │   ├── DataDirBusy        another process owns the data directory
    │   ├── LogDamaged         the log's file is not whole; names the place
    │   ├── LogTooNew          the file was written by a newer Heartbeat
    │   ├── LogUnavailable     a write did not become durable (disk full, I/O error): it can be tried again
    │   ├── StaleUnit          the unit's predecessor is missing or somebody else advanced the partition
    │   └── UnknownTopic       a topic or partition that was never declared
    ├── ModelError
    │   ├── ModelDamaged       a file's checksum is not the one in model.yaml
    │   ├── ModelMissing       no such model or version in the catalogue
    │   ├── ModelUnfit         the model's files or labels do not fit what it is to be used for
    │   └── ExportFailed       a model could not be made one of the catalogue's (`models.export.errors`)
    ├── FeedError
    │   ├── BadPost            one item of a feed is rubbish: it goes to dead letters, the feed goes on
    │   ├── FeedConflict       a replay and a live feed, or two replays, want the same task
    │   └── FeedUnreachable    the feed's other side does not answer: tried again with backoff
    ├── HistoryError           the history file cannot be used
    ├── CorrectionError
    │   ├── PostNotThere       what is to be corrected is not in the history, or not any more
    │   ├── TextNotKept        its text has been erased, and without one a correction is of no use
    │   ├── CorrectedMeanwhile somebody else has corrected it since it was looked at
    │   ├── CorrectionsUnusable    the file of corrections cannot be used
    │   └── BadLine            a line of a file is no correction; names line and field (`corrections.lines`)
    ├── InfluxError            InfluxDB cannot be asked, or says no; says what to do
    ├── BackupError            a backup cannot be made, or not be used
    └── StartError             the worker cannot start (port in use, folder not writable, …)

A message says what happened, to which input, and what to do about it. `str(error)` is made to be shown to a
person as it is; it never holds a post's content, an author or a secret.
"""

from __future__ import annotations

from pathlib import Path


class HeartbeatError(Exception):
    """Root of the tree: catch this to catch everything that Heartbeat raises on purpose."""


class ConfigError(HeartbeatError):
    """A setting or a task is wrong.

    Attributes:
        file: the file it stands in, or None for the environment.
        line: 1-based line, where known.
        key: dotted path of the key, such as `tasks[2].query`, or the variable's name.
    """

    def __init__(
        self, problem: str, *, file: Path | None = None, line: int | None = None, key: str | None = None
    ) -> None:
        self.problem, self.file, self.line, self.key = problem, file, line, key
        place = "".join((f"{file}" if file else "environment", f":{line}" if line else ""))
        super().__init__(f"{place}: {key}: {problem}" if key else f"{place}: {problem}")


class QueryError(HeartbeatError):
    """A task's query cannot be parsed. `position` is the 0-based character it fails at."""

    def __init__(self, problem: str, *, position: int) -> None:
        self.position = position
        super().__init__(f"{problem} (at character {position + 1})")


class RecordError(HeartbeatError):
    """A record and its schema do not agree."""


class UndecodableRecord(RecordError):
    """Bytes that are no record of ours."""


class UnencodableRecord(RecordError):
    """A value that does not fit its schema."""


class Retry(HeartbeatError):
    """Raised by a handler when the failure is not the messages' fault: the same batch again, with backoff.

    Attributes:
        after_s: how long the other side asked to wait, or None for the agent's own backoff.
    """

    def __init__(self, reason: str, *, after_s: float | None = None) -> None:
        self.after_s = after_s
        super().__init__(reason)


class LogError(HeartbeatError):
    """The log cannot do what was asked."""


class BadLogUrl(LogError):
    """A broker URL that names no usable place."""


class DataDirBusy(LogError):
    """Another process owns the data directory."""


class LogDamaged(LogError):
    """The log's file is not whole."""


class LogTooNew(LogError):
    """The log's file was written by a newer Heartbeat."""


class LogUnavailable(LogError):
    """A write did not become durable; nothing of it is there, and it can be tried again."""


class StaleUnit(LogError):
    """The consumer's offset is not where this unit started."""


class UnknownTopic(LogError):
    """A topic or partition that was never declared."""


class ModelError(HeartbeatError):
    """A model cannot be used."""


class ModelDamaged(ModelError):
    """A file's checksum is not the one in model.yaml."""


class ModelMissing(ModelError):
    """No such model or version in the catalogue."""


class ModelUnfit(ModelError):
    """The model's files or labels do not fit what it is to be used for."""


class FeedError(HeartbeatError):
    """A feed cannot go on."""


class BadPost(FeedError):
    """One item of a feed is rubbish: it goes to dead letters and the feed goes on."""


class FeedConflict(FeedError):
    """A replay and a live feed, or two replays, want the same task."""


class FeedUnreachable(FeedError):
    """The feed's other side does not answer: tried again with backoff."""


class HistoryError(HeartbeatError):
    """The history file cannot be used."""


class CorrectionError(HeartbeatError):
    """A post cannot be corrected, or corrections cannot be had."""


class PostNotThere(CorrectionError):
    """What is to be corrected is not in the history."""

    def __init__(self) -> None:
        super().__init__("there is no such post: it has been deleted or edited, or is not stored yet")


class TextNotKept(CorrectionError):
    """The text of what is to be corrected has been erased."""

    def __init__(self) -> None:
        super().__init__("the text of this post is no longer kept, and a correction without one can verify no model")


class CorrectedMeanwhile(CorrectionError):
    """Somebody else has corrected it, or taken a correction of it back, since it was looked at."""


class CorrectionsUnusable(CorrectionError):
    """The file of corrections cannot be used, now or at all."""


class InfluxError(HeartbeatError):
    """InfluxDB cannot be asked, or says no."""


class BackupError(HeartbeatError):
    """A backup cannot be made, or not be used."""


class StartError(HeartbeatError):
    """The worker cannot start."""
