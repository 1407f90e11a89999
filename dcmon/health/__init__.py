"""Is dcmon itself well: collect facts, judge them, keep problems, notify about them."""
