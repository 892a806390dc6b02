"""Parts of `benchmarks/kills.py`.

moments    random moments of the work, by what an undisturbed run had done by then
processes  a run in a process of its own: followed, killed, waited for
rounds     one run undisturbed, then the same killed again and again
workers    workers of a run killed one by one while it goes on
files      what two runs ended with, byte for byte, times removed
"""
