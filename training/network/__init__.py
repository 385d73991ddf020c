"""The network: pretrained backbones, their stages, devices, augmented views, cached features."""
