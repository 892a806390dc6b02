"""Tasks done by several processes, which an executor provides.

order   what a worker is told, and what it answers
work    what a worker does: plan again, compare, fill one cell or a share of its shards
crew    the executor of a run, opened
spread  what is handed out when, and what becomes of what comes back
"""
