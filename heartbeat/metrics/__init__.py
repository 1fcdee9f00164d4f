"""Figures for Prometheus, in a registry of their own; `docs/metrics.md` names them all.

    instruments   what is counted and timed while it happens, and the page that tells it
    readings      what is read off the worker when somebody asks
    event_loop    how late the event loop is

The rooms that are measured know nothing of this one: they take an `Observer`, or are looked at. Faust's own monitor is
not used: it watches streams and tables of Faust's, through which no post goes here, and its exporter patches it.
"""

from heartbeat.metrics.instruments import Metrics
from heartbeat.metrics.readings import Readings

__all__ = ["Metrics", "Readings"]
