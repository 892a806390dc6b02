"""What decides which of its own answers a base learns from."""
