"""Recordings: what ctop saw at each tick, in an SQLite file, and the same shown again.

A day of 200 containers has to fit into 100 MB, about six bytes a container
and second, also when all are busy. So counters are rounded (recording.rounding),
and while it is recorded the view shows them as they are kept: the same frames
come back. A tick says only what is new since the one before (recording.fleet), and a rate is
not kept where it follows from its counters (recording.columns); ticks are
pieces of one stream, deflated but for the numbers, that starts anew with a
whole picture every four minutes (recording.codec); numbers are bits, their
beginnings in codes that learn from those before (recording.packing, prefix);
what does not change is kept once. Each tick is a transaction: killed at any
moment, a recording ends with its last whole tick.

`tick` has a row a tick, numbered from 1 without a gap; `base` is the tick its
picture started from. `about` has, as JSON, what stays the same of a container.
"""
