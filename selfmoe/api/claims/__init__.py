"""The paper's claims, each with the systems it compares, and a verdict on every one.

    claims -> systems and variants -> plans -> cells -> sides, item by item -> contrasts -> verdicts

``selfmoe.claims`` does all of it.
"""
