"""What the proof of exports is made of: the mixtures, and what another environment runs."""
