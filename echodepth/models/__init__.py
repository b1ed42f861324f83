"""The networks, their input front ends and the model folder."""
