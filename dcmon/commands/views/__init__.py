"""What commands show: rows for programs, texts for people, each made in one transaction."""
