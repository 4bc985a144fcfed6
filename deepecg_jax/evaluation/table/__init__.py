"""Who is in the table? Predictions, groups and pairs of tables."""
