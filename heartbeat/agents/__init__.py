"""Agents: what is done to a batch of one topic's partition. One file an agent; the engine's contract is `engine.agent`.

- `language` finds the language of each post
- `sentiment` counts each post once and scores it (`scored` is what it remembers of a post, `deliveries` what a delivery
  does to that)
- `pulse` adds scores up in windows (`pulse_part` is one partition of it; `pulse_view` shows windows to pages)
- `history` keeps posts and windows for charts and exports

`heartbeat.app` makes them; nobody else imports from here.
"""
