"""What the numbers in the documentation come from: scripts that anyone can run (see README.md here)."""
