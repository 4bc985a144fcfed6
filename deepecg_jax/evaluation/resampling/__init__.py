"""What if other patients had come? Sums and metrics in every resample."""
