"""Features of meshes and of stored shapes, and what lies near what."""
