"""Work of commands that needs several calls into the domain, some in transactions of their own."""
