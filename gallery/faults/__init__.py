"""gallery.faults."""
