"""What the door writes down: events before the answer, answers after it."""
