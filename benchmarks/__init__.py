"""How fast it is, against what else there is: each module is a command that prints ratios."""
