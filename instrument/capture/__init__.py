"""What can be known about a run without asking the user: process, code, environment, seeds.

Nothing here knows a run or a store; every function returns plain values or records. Unknown is
None with a reason, never a guess.
"""
