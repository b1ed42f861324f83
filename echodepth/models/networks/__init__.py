"""One file a network: its config and its layers."""
