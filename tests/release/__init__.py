"""What is released, in clean environments."""
