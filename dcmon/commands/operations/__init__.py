"""What a command changes when that takes several calls into the domain, each in its own transaction."""
