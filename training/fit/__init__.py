"""Fitting: the regime, the linear head, fine-tuning on one or several devices, the choice between them."""
