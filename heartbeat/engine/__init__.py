"""The engine: units of work on a durable partitioned log.

What agents use is in `agent`; what a transport has to keep is in `log`; the embedded one is `sqlite_log.SqliteLog`.
From outside, import `agent`, `log` (its plain types), `sqlite_log`, `retention` and `ownership`; the modules called
`sqlite_…` beside it are its parts and nobody else's. Those called `faust…` and `transport…` alone know of Faust.
"""
