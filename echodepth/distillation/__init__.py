"""The frozen teacher and the terms that carry what it sees to the student."""
