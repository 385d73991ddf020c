"""What people read of a run: the report page, the model card, the credits, tables and charts."""
