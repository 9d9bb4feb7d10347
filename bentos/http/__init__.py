"""HTTP at the door: who asks, how much, what is refused and how."""
