"""Parts of `benchmarks/generation.py`.

prompts    what is written and asked: the prompts of brainstorm and respond, made once for all
builds     where the code of a build lies; one round of a job, in a process of its own
worker     that process: loads the model, does the job, says what it took
systems    how a build, or transformers by itself, continues prompts
jobs       what each system does, as plain data
rounds     builds in turn, round by round; what the rounds say about each
"""
