"""Mixtures of LoRA experts on one base model: routed, merged, stored.

compose     one in a line                                     (start here)
runtime     a composition put on a model
handle      what is on it: records, is told what rows are, comes off
saving      one in a folder, with all it needs; loading brings it back
doors       what others find who save, generate or train
sites       which linears experts can change
forward     what happens in one forward of a routed model
adapters    experts as PEFT and others write them
"""
