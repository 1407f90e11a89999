"""Kill processes while rows are sent; afterwards every accepted row must be stored exactly once."""
