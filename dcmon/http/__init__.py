"""The endpoint: a file per resource, each route one call of a noun. What it answers is docs/http.md."""
