"""BERT (Devlin et al. 2019) as a classifier of report texts."""
