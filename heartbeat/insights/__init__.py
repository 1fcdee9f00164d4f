"""Figures that analysts ask for: share of voice, changes, and scores for what is out of the ordinary. No I/O, no clock.

Everything is worked out from windows as they are published: integers in, frozen results out; the same windows give the
same figures wherever they are read.

- `covered` tells quiet from unknown: where no post is stored, was there none, or did nobody listen?
- `company` says which tasks tell of one
- `change` holds a window against an earlier one
- `spike` says how unusual a number of posts is, `shift` how unusual a share is
- `voice` has the shares of tasks in what is said about all of them
- `insight` puts it all together for one window; `fields` names the numbers for databases of measurements

The definitions, with their sources, are in docs/figures.md. All of these modules may be imported from anywhere above.
"""
