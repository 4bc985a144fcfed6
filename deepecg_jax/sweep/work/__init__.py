"""How does it get done? Folders, processes, Slurm, an order, and what survives a kill."""
