"""WCR: contrast of hidden tokens, of segments of a patient, and lead masking."""
