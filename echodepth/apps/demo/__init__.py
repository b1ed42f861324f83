"""The demo: a web page that runs a model on recordings or images."""
