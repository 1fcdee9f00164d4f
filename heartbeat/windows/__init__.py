"""Windows: which window a post belongs to, what it holds, and when it closes and seals. No I/O, no clock, no tables.

- `ids` names windows: `WindowId`, `Layout` (the sizes, and the block that seals as a whole)
- `spans` says which sizes a post counts in, when sizes have been changed
- `tally` adds up and takes back, in integers
- `state` is one window's row and its life: open, closed, corrected
- `watermarks` says how far feeds and tasks are, `progress` what of it is for good
- `schedule` says which window is next to be closed, sealed or published

The rules are in docs/semantics.md. All of these modules may be imported from anywhere above.
"""
