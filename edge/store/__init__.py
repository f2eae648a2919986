"""Packs, journals, the disposable index: where cached bytes live (DESIGN D3, D4, D6, D7; formats: section 9).

`Volume` is the keeper's side, the only writer; `Reader` is the worker's. A *record* is an object's entry in the
index, an *extent* a contiguous stretch of it in a *pack*, a *journal* the log that the index can be rebuilt from.
Nothing here knows HTTP beyond the fields of a record, origins, or players.
"""
