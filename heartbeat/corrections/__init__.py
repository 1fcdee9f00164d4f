"""Corrections: what people say of posts' labels and languages, kept to verify models on.

A room of its own and no sink: nothing of it comes out of the pipeline, a person puts it in.

    rows      a correction, and the post that it is of      store    keeps them: one SQLite file, any thread
    file      the file: schema, opening, what errors mean   desk     takes them from the pages, beside an event loop
    tables    its rows                                      lines    corrections as JSON lines, in and out
"""
