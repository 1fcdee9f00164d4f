"""Feeds: how posts come in, one file a feed, one protocol (`base.Feed`).

`runner` runs a feed against the log (`units` makes what it writes, `cursors` is where feeds stand durably),
`supervisor` runs all of a worker's feeds; `demo` and `replay` are feeds. Feeds know the log, tasks and records; none of
those knows feeds.
"""
