"""What `heartbeat doctor` looks at: one module for each kind of thing, every check a function that gives findings.

Nothing here changes anything or keeps a running worker waiting: files are read in short steps, feeds are only knocked
at. Used by the commands alone.
"""
