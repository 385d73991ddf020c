"""A dataset to a model: features, head, fine-tuning, evaluation, report, prediction."""
