"""Parts of `benchmarks/steady.py`.

worker     a process of its own: records what stages ask a base, asks it again, looks at near ties
rows       which rows differ, and at which token they part
gaps       how near the tie is at which two rows part
"""
