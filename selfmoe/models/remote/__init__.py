"""Generation by a backend: what another program with the same model writes, as the engine has it.

``generation`` is the local form of the same.
"""
