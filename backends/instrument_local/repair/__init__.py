"""Sets right what crashes and broken disks leave (docs/repair.md).

repairer.py        what is done in which order     plan.py             one step
abandoned_runs.py  whose processes are dead        damage.py           what `verify` finds
spools.py          records on a local disk         sources.py          who else has the bytes
lost_moves.py      where aliases belong            sealed_journals.py  what a seal tells of them
                                                   elsewhere.py        what it leaves to the user
"""
