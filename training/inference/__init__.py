"""The saved model at work: classification, export to other programs, heat maps."""
