"""Files to a dataset: decoding, checks, copies, curation, splits."""
