"""How a file writes its values, where its content proves it: marks of numbers, order of dates; and open questions."""
