"""The HTTP endpoint: each route is a request, one call and a response."""
