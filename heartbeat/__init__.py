"""Heartbeat takes the pulse of public conversation.

Start reading at `heartbeat.app`, which builds everything and does nothing else.
"""

__version__ = "0.1.0"
