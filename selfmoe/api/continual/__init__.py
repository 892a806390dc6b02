"""Experts that come to a run one by one: what each costs, what the others keep, and the way back.

    states (settings with the first k experts) -> plans -> cells -> measures

``selfmoe.continual`` does all of it.
"""
