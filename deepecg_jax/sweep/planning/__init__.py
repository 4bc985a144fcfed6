"""What is to be done? Runs, grids and seeds become jobs with stable names."""
