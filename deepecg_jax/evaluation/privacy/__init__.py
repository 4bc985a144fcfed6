"""What a model gives away about those it was trained on."""
