"""What is shown while a run goes on, and its tables."""
