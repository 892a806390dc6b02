"""How good a system is: prompts, lm-eval, answer extraction, intervals.

bridge       one model, one benchmark -> a score and its sample rows      (start here)
prompting    what an item looks like to the model, and how much of it fits
harness      the one module that imports lm-eval
answers      finding the answer in a completion: one rule a kind of answer
mathverify   whether two formulas are equivalent, in a process of its own
stock        texts that lm-eval's own tasks prescribe
code         running generated code against its tests, in the sandbox
statistics   standard errors and intervals
leaks        no seed may be a benchmark item
"""
