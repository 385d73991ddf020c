"""What features say of an image's place in its class: outliers, label errors, clusters."""
