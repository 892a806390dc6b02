"""Doors by which others reach a model with a mixture, and what they find behind them.

A method that would lose the experts, or take an answer for the prompt, without a word is replaced
on the instance by one that does it rightly or refuses; ``detach`` puts all of them back.
"""
