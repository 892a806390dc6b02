"""Parts of `benchmarks/training.py`.

texts      what is learnt from
places     the folders that builds share: bases, experts, examples; the code of another commit
builds     processes that fit, one a build, asked in turns
worker     such a process: loads a base, and measures one fit for each line it is sent
trainer    the same by PEFT and the Trainer of transformers, as a reference
"""
