"""The networks on one device: ``python -m benchmarks.devices --device cuda``."""
