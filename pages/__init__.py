"""Pages that a person opens on this machine: reviewing pictures, trying a model. Served on loopback, guarded."""
