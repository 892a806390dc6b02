"""What leaves a run: models served to others."""
