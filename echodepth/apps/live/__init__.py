"""Recording with a loudspeaker and two microphones, and live depth prediction."""
