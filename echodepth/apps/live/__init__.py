"""With a loudspeaker and two microphones: record one's own echoes, and see depth while listening."""
