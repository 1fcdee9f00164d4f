"""Tasks: what somebody follows, and which posts belong to it.

`query` parses a task's query into a tree, `folding` brings queries and posts into one form, `matching` decides for many
tasks at once, `task` is a task as data, `loading` reads `config/tasks.yaml`. Import from here.
"""

from heartbeat.tasks.loading import FEEDS, LANGUAGES, load
from heartbeat.tasks.matching import Matcher
from heartbeat.tasks.query import EVERYTHING, Query, parse
from heartbeat.tasks.task import Task, feeds_by_task

__all__ = ["EVERYTHING", "FEEDS", "LANGUAGES", "Matcher", "Query", "Task", "feeds_by_task", "load", "parse"]
