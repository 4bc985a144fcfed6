"""What is on disk? Splits, their index and their records."""
