"""Losses, Lightning tasks, callbacks and the runs behind the commands."""
