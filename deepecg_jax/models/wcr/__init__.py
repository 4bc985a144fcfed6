"""The WCR family: wav2vec 2.0 contrastive learning + CMSC + random lead masking."""
