"""Bundles: runs and all that they refer to in one file, for another store (docs/bundles.md).

contents.py    what a bundle says of itself      reading.py    our own reader
selecting.py   what goes into one                writing.py    writes one
exporting.py   ``instrument export``             checking.py   believes nothing
importing.py   ``instrument import``             planning.py   what comes, and under which name
unfinished.py  the file before it has its name   local.py       joins the parts
"""
