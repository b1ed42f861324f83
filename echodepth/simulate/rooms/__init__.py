"""Random rooms: geometry, furniture and materials."""
