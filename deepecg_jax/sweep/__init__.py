"""Many runs as one experiment: what runs, in which order, and what came out."""
