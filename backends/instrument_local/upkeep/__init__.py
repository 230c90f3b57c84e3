"""What may go: rules, collections, holds, and what is known of what went (docs/retention.md).

local.py       joins the parts               references.py       who names which object
policies.py    which versions rules let go   planning.py         which objects go with them
collecting.py  removes objects               abandoned_files.py  what dead processes left
deleting.py    removes runs                  left_versions.py    the ledger binds what they made
holds.py       what may not go               tombstones.py       what the ledger says of what went
"""
