"""The settings of a run: read, filled in, checked, explained."""
