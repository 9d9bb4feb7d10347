"""The services: one Bento for each served model, the door in front of them, and the router before the doors."""
