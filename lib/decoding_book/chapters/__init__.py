"""What one chapter alone needs and no cell can hold."""
