"""Feeds: how posts come in, one file a feed, one protocol (`base.Feed`).

`runner` runs a feed against the log (`units` makes what it writes, of what `encoder` lets pass; `cursors` is where
feeds stand durably), `known` is what it remembers of posts that it has passed on, `owed` what has to be erased since it
was deleted, `supervisor` runs all of a worker's feeds. `demo`, `replay` and `bluesky` (with `jetstream_…`: its frames,
its places, its connections, its hosts in turn) are feeds. Feeds know the log, tasks and records; none of those knows
feeds.
"""
