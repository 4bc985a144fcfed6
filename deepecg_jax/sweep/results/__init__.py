"""What came out? Scores, spread over seeds, paired differences, tables and a page."""
