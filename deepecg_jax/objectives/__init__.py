"""Pure training objectives: (model, batch, key) -> (loss, metrics)."""
