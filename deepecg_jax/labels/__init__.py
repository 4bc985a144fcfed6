"""What do codes mean? The 77 findings, and maps to them from codes and machines' statements."""
