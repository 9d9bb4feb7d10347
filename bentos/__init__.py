"""The services: one Bento a served model, and the door in front of them."""
