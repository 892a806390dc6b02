"""Mixtures of LoRA experts on one base model: routed, merged, stored.

compose     one in a line                                     (start here)
runtime     a composition put on a model, and taken off it
portable    one on disk, with all it needs
forward     what happens in one forward of a routed model
adapters    experts as PEFT and others write them
"""
