"""A module becomes a `torch.fx.Graph` with shapes, roles and locations."""
