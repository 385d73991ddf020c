"""Commands on trained models: predict, serve, export, models."""
