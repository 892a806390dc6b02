"""What happens in one forward of a routed model."""
