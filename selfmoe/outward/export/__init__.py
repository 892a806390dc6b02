"""Systems of a run as folders that other programs load."""

DATASET = "dataset"
FORMATS = ("hf", "peft", "mlx", "gguf", DATASET)
"""What can be written: four of a system, and the data that its experts learned from."""
