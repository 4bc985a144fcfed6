"""Names of the weights of each family in PyTorch."""
