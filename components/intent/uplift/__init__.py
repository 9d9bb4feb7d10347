"""What an offer changes, and for whom: effects of something that some users got and others did not."""
