"""Sinks: where results leave the pipeline for good.

The history keeps windows and posts for charts and exports, in a SQLite file of its own:

- `history.History` writes it: one thread, one transaction for each group of batches, their offsets inside
- `history_reader.HistoryReader` reads it from anywhere, while a worker writes or when none runs
- `history_rows` has the rows that a reader gives: `WindowRow`, `FiguresRow`, `PostRow`, `Summary`

- `table_writers` writes rows as CSV, JSON lines or Parquet

The other modules are the file's own business: `history_file` (schema, opening, errors), `history_statements` (many
rows in one statement), `history_snapshot`, `history_post_pages` and `history_insights` (reading), `history_tables` with
`history_names`, `history_posts`, `history_windows`, `history_texts` and `history_upkeep` (writing, in the one thread).
"""
