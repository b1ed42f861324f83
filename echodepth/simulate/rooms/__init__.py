"""Rooms: geometry, furniture, materials, and ray casting in them."""
