"""From a sensor's output to a network's input."""
