"""Half-made components: what domains, trainers, routers and merges are built from.

Together with ``selfmoe.contracts`` all that a plugin needs to import.
"""
