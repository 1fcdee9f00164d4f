"""Feeds: how posts come in, one file a feed, one protocol (`base.Feed`).

`runner` runs a feed against the log (`units` makes what it writes, `cursors` is where feeds stand durably),
`known` is what it remembers of posts that it has passed on, `supervisor` runs all of a worker's feeds. `demo`, `replay`
and `bluesky` (with `jetstream_…`: its frames, its places, its connections) are feeds. Feeds know the log, tasks and
records; none of those knows feeds.
"""
