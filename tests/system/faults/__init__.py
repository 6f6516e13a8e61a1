"""The fault suite: what is promised when processes are killed, disks fill up and bits flip, measured.

`python -m tests.system.faults` (`make faults`) runs every fault many times and writes docs/reliability.md;
test_faults.py runs each a few times. A fault is a row of table.py and a trial: one injury, one look at
whether the promise was kept.
"""
